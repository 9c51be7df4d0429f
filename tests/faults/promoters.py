"""Races of promoters on one control database; prints how each ended as JSON.

`python tests/faults/promoters.py URL RACES PROMOTERS`: each promoter is a process; all are let go
at once at the start of each race.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
from typing import TYPE_CHECKING

from ml_tasks.errors import PromotionLostError
from ml_tasks.io.control import Control

if TYPE_CHECKING:
    from multiprocessing.synchronize import Barrier


def promote(url: str, races: int, own: int, start: Barrier) -> list[str | None]:
    """Give for each race why this promoter lost, or `None` where it won."""
    control, ended = Control(url), []
    for race in range(races):
        start.wait()
        try:
            control.promote(
                f"race{race}",
                str(own),
                expected=None,
                run=f"run{own}",
                verdict_uri="file:///verdict.json",
                who=f"run{own}/promote",
                why="all gates passed",
            )
            ended.append(None)
        except PromotionLostError as lost:
            ended.append(str(lost))
    return ended


def main() -> None:
    """Fork the promoters and gather what they say."""
    url, races, promoters = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    Control(url).migrate()
    forking = multiprocessing.get_context("fork")
    start, said = forking.Barrier(promoters), forking.SimpleQueue()

    def run(own: int) -> None:
        said.put((own, promote(url, races, own, start)))

    children = [forking.Process(target=run, args=(own,)) for own in range(promoters)]
    for child in children:
        child.start()
    ended = dict(said.get() for _ in children)
    for child in children:
        child.join()
    print(json.dumps([ended[own] for own in range(promoters)]))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
