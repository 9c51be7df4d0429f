"""What came in: rows of each window, as validation counted them."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ml_tasks.errors import PerennialError
from ml_tasks.io import objects, runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_pages.performance import Seen
    from ml_tasks.config import Environment
    from ml_tasks.io.windows import Ingested

AT_ONCE = 8
NUM_SHOWN = 13
"""A quarter of weeks."""


@dataclass(frozen=True, slots=True)
class Counts:
    """What validation counted; `None` where its report is gone."""

    staged: int | None = None
    published: int | None = None
    quarantined: int | None = None


@dataclass(frozen=True, slots=True)
class Arrived:
    """A window that is in."""

    window: Ingested
    counts: Counts
    seen: Seen | None
    """How the champion did in it, where it was watched."""


def arrived(
    environment: Environment, pipeline: str, windows: Sequence[Ingested], seen: Sequence[Seen]
) -> list[Arrived]:
    """Give the newest windows, the newest first, with what came in."""
    newest = list(reversed(windows[-NUM_SHOWN:]))
    watched: Mapping[str, Seen] = {one.start: one for one in seen}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        counts = pool.map(lambda one: _counts(environment, pipeline, one.run), newest)
        return [
            Arrived(window, found, watched.get(window.start))
            for window, found in zip(newest, counts, strict=True)
        ]


def _counts(environment: Environment, pipeline: str, run: str) -> Counts:
    try:
        attempt = runs.attempts(environment, pipeline, run, "validate")
        root = environment.run_folder(pipeline, run)
        told = _read(f"{root}/validate/{attempt}/data_docs.json")
    except (PerennialError, FileNotFoundError):
        return Counts()
    counted: dict[str, Any] = told
    return Counts(counted["staged"], counted["published"], counted["quarantined"])


@lru_cache(maxsize=1024)
def _read(uri: str) -> dict[str, int]:
    """Read an attempt's report, which never changes."""
    counts: dict[str, int] = json.loads(objects.read_text(uri))["counts"]
    return counts
