"""Races of those who ask for a training and those who claim it; prints how each ended as JSON.

`python tests/faults/askers.py URL RACES SEED`: everybody is a process of its own, let go at once,
and many kill themselves: before their transaction is committed, or after it and before their next
write. What is emitted is a line in a file, seen whole or not at all, as a row of Airflow's is.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import random
import signal
import sys
import tempfile
from collections import Counter
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ml_tasks.config import Retraining
from ml_tasks.config.limits import MONITOR
from ml_tasks.config.outside import OUTSIDE
from ml_tasks.errors import LimitError, NothingToDo
from ml_tasks.io.control import Control

if TYPE_CHECKING:
    from collections.abc import Callable

ASKERS, SWEEPERS = 4, 2
LIMITS = Retraining(cool_down_days=2, most_a_month=2)
WELL, BEFORE_COMMIT, AFTER_COMMIT, TWICE = "well", "before commit", "after commit", "twice"
FATES = (WELL, BEFORE_COMMIT, AFTER_COMMIT, TWICE)


def die(*_arguments: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


class Race:
    """One wish of several askers, and all who want to train for it."""

    def __init__(self, control: Control, name: str, chance: random.Random, folder: Path) -> None:
        self.control, self.name, self.chance = control, name, chance
        self.limited = f"{name} within limits"
        self.events, self.wins = folder / f"{name}.events", folder / f"{name}.wins"
        self.delivered, self.killed, self.swept = 0, Counter[str](), 0

    def ask(self, own: int, fate: str) -> None:
        self.meet(fate)
        trigger, _ = self.control.ask(self.name, "drift", "w", who=f"asker {own}", evidence={})
        if fate == AFTER_COMMIT:
            die()
        if trigger.state == "asked":
            for _ in range(2 if fate == TWICE else 1):
                append(self.events, trigger.id)

    def ask_within(self, cause: str, day: int) -> None:
        """Ask as policies do; each saw no limit in the way before the others began."""
        window = f"2013-01-01/2013-02-{day:02}"
        with contextlib.suppress(LimitError):
            self.control.ask(self.limited, cause, window, who=cause, evidence={}, within=LIMITS)

    def claim(self, trigger: str, run: str, fate: str) -> None:
        self.meet(fate)
        try:
            self.control.claim(trigger, run)
        except NothingToDo:
            return
        if fate == AFTER_COMMIT:
            die()
        append(self.wins, run)

    def sweep(self) -> None:
        for trigger in self.control.unclaimed(self.name, timedelta(0)):
            append(self.events, trigger.id)

    def meet(self, fate: str) -> None:
        if fate == BEFORE_COMMIT:
            sa.event.listen(self.control.engine, "commit", die)

    def run(self) -> dict[str, object]:
        """Ask, then claim beside who asks late and who sweeps; whoever is told of goes on."""
        fates = [self.chance.choice(FATES) for _ in range(ASKERS)]
        early = self.chance.randint(1, ASKERS)
        self.together([self.asker(own, fates[own]) for own in range(early)])
        late = [self.asker(own, fates[own]) for own in range(early, ASKERS)]
        sweepers = [self.sweep] * SWEEPERS if self.chance.random() < 0.5 else []
        self.together([*late, *sweepers, *self.claimers()])
        self.together(self.claimers())
        before = len(lines(self.events))
        self.together([self.sweep] * SWEEPERS)
        self.swept = len(lines(self.events)) - before
        self.together(self.claimers())
        days = self.chance.sample(range(1, 10), ASKERS)
        causes = [MONITOR, *[OUTSIDE] * (ASKERS - 1)]
        self.together([partial(self.ask_within, *one) for one in zip(causes, days, strict=True)])
        found = self.control.triggers(self.name)
        return {
            "within": [one.window for one in self.control.triggers(self.limited)],
            "asked": len(found),
            "state": [one.state for one in found],
            "run": [one.run for one in found],
            "wins": sorted(set(lines(self.wins))),
            "events": len(lines(self.events)),
            "swept": self.swept,
            "killed": self.killed,
        }

    def asker(self, own: int, fate: str) -> Callable[[], None]:
        if fate in (BEFORE_COMMIT, AFTER_COMMIT):
            self.killed[f"asker {fate}"] += 1
        return partial(self.ask, own, fate)

    def claimers(self) -> list[Callable[[], None]]:
        """Give a run for each event that has none yet; one that is killed is tried again."""
        told = lines(self.events)
        made: list[Callable[[], None]] = []
        for number in range(self.delivered, len(told)):
            fate = self.chance.choice(FATES[:3])
            if fate != WELL:
                self.killed[f"claimer {fate}"] += 1
            trigger, run = told[number], f"{self.name}.run{number}"
            made.append(partial(self.tried, trigger, run, fate))
        self.delivered = len(told)
        return made

    def tried(self, trigger: str, run: str, fate: str) -> None:
        """Claim as a task does that Airflow tries again in the same run."""
        if fate != WELL:
            child = os.fork()
            if child == 0:
                self.claim(trigger, run, fate)
                os._exit(0)
            os.waitpid(child, 0)
        self.claim(trigger, run, WELL)

    def together(self, calls: list[Callable[[], None]]) -> None:
        """Let each run in a process of its own, all from the same moment on."""
        gate, opened = os.pipe()
        children = []
        for call in calls:
            child = os.fork()
            if child == 0:
                os.close(opened)
                os.read(gate, 1)
                code = 1
                try:
                    call()
                    code = 0
                finally:
                    os._exit(code)
            children.append(child)
        os.close(opened)
        ended = [os.waitpid(child, 0)[1] for child in children]
        os.close(gate)
        assert not any(os.WIFEXITED(status) and os.WEXITSTATUS(status) for status in ended), ended


def append(file: Path, text: str) -> None:
    place = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
    os.write(place, f"{text}\n".encode())
    os.close(place)


def lines(file: Path) -> list[str]:
    return file.read_text().splitlines() if file.exists() else []


def main() -> None:
    """Run the races one after another."""
    url, races, seed = sys.argv[1], int(sys.argv[2]), sys.argv[3]
    control = Control(url)
    control.migrate()  # what its engine learns here every child knows; no connection stays open
    gc.freeze()
    with tempfile.TemporaryDirectory() as folder:
        ended = [
            Race(control, f"race{seed}_{race}", random.Random(f"{seed} {race}"), Path(folder)).run()  # noqa: S311
            for race in range(races)
        ]
    print(json.dumps(ended))  # noqa: T201 - the answer


if __name__ == "__main__":
    main()
