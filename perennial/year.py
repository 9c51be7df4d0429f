"""A product's year through the real tasks, week by week, and the story of it."""

from __future__ import annotations

import fcntl
import time
from contextlib import contextmanager
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated

import typer

from ml_tasks import config
from ml_tasks.errors import ExitCode, SourceError
from ml_tasks.io.control import Control
from perennial import console, telling, weeks
from perennial.given import environment
from perennial.progress import Progress
from perennial.story import Reader

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from typing import TextIO

    from rich.console import Console

    from ml_tasks.config import Pipeline
    from ml_tasks.result import Window
    from perennial.services import Services
    from perennial.story import Story
    from perennial.weeks import Stage


def command(
    pipeline: Annotated[
        str, typer.Option("--pipeline", "-p", help="Name of its YAML file.")
    ] = "flight_delays",
    since: Annotated[
        str, typer.Option("--from", help="Windows from this day on; all when empty.")
    ] = "",
    until: Annotated[
        str, typer.Option(help="Windows that end by this day; by the schedule's end when empty.")
    ] = "",
    airflow: Annotated[
        bool, typer.Option("--airflow", help="By runs of the DAGs; it is left running.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The story as JSON.")] = False,
) -> int:
    """Let a product's year go by: ingest, watch, decide, train, gate, promote; tell what happened.

    What was done before is not done again: killed in the middle, the same command goes on. Without
    --airflow only MLflow and the warm launcher are started, and ended in the end.
    """
    from perennial.services import Services

    given = environment()
    found = config.load(pipeline, given.pipelines)
    wanted, began = weeks.chosen(found, since, until), time.monotonic()
    out = console.ERR if as_json else console.OUT
    services = Services(given, airflow=airflow)
    with _running(services, out), Progress("weeks", len(wanted), out) as bar:
        control = Control(services.environment.control)
        control.migrate()
        shown = _Shown(bar, Reader(services.environment, found), found)
        with _stage(services, found, wanted, shown.doing) as stage:
            try:
                for week in weeks.play(stage, control, found, wanted):
                    shown.over(week)
            except SourceError as fault:
                shown.ended(wanted, fault)
            stage.settle()
    out.print(f"done in {time.monotonic() - began:.0f} s", markup=False)
    told = shown.reader.story(shown.gone(wanted))
    if as_json:
        console.as_json(whole(told))
    else:
        telling.story(told)
    # Of the newest one it may be too early to ask; a hole before others is to be mended.
    return ExitCode.OK if len(told.weeks) >= len(wanted) - 1 else ExitCode.REJECTED


def whole(told: Story) -> dict[str, object]:
    """Give a story with the hash of each week and of all of it."""
    hashes = [{**asdict(week), "hash": week.hash} for week in told.weeks]
    return {**asdict(told), "weeks": hashes, "hash": told.hash}


class _Shown:
    """Which week it is, and what came of those that are over."""

    def __init__(self, bar: Progress, reader: Reader, pipeline: Pipeline) -> None:
        self.reader, self._bar, self._over = reader, bar, 0
        self._metric = pipeline.evaluation.metric

    def doing(self, what: str) -> None:
        self._bar.show(self._over, what)

    def over(self, week: Window) -> None:
        self._over += 1
        self._bar.show(self._over, f"week of {week.start:%Y-%m-%d}")
        for line in telling.week(self.reader.week(week), self._metric):
            self._bar.say(line)

    def ended(self, wanted: Sequence[Window], fault: SourceError) -> None:
        """Say with which week nothing was delivered any more."""
        if not self._over:
            raise fault
        self._bar.say(f"the weeks end with {wanted[self._over].start:%Y-%m-%d}: {fault}")

    def gone(self, wanted: Sequence[Window]) -> Sequence[Window]:
        """Give the weeks that are over."""
        return wanted[: self._over]


@contextmanager
def _running(services: Services, out: Console) -> Iterator[None]:
    """Have what is needed run; what nobody else needs is ended in the end."""
    ours = services.dead() == list(services.names)
    services.home.mkdir(parents=True, exist_ok=True)
    with (services.home / "year.lock").open("w") as shared:
        fcntl.flock(shared, fcntl.LOCK_SH)
        begun = False
        try:
            with console.waiting("starting", out) as show:
                services.up(lambda name, seconds: show(f"{name} ready after {seconds:.0f} s"))
            begun = True
            yield
        except KeyboardInterrupt:
            out.print("interrupted: the same command goes on from here", markup=False)
            if services.with_airflow and ours and _last(shared):
                services.down()
            raise
        finally:
            known = services.processes.known().items()
            others = [name for name, one in known if one.alive and name not in services.names]
            needless = not services.with_airflow and not others
            # What ran before is somebody else's, unless all that is wanted was brought up.
            if needless and (begun or ours) and _last(shared):
                services.down()


def _last(shared: TextIO) -> bool:
    """Tell whether no other year goes by in this home."""
    try:
        fcntl.flock(shared, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


@contextmanager
def _stage(
    services: Services, pipeline: Pipeline, wanted: Sequence[Window], doing: Callable[[str], None]
) -> Iterator[Stage]:
    """Give where the weeks go by: in Airflow where it runs, else here."""
    resolved, control = services.environment, Control(services.environment.control)
    if not services.with_airflow:
        from perennial.here import Here

        with Here(resolved, pipeline, wanted, doing) as here:
            yield here
        return
    from perennial.airflow_api import Airflow
    from perennial.in_airflow import InAirflow
    from perennial.loop import Loop

    loop = Loop(services, pipeline, control, Airflow(services))
    yield InAirflow(loop, resolved, pipeline, control, doing)
