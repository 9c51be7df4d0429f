"""Plays weeks without Airflow: flows by the runner, ingestion ahead of what is watched."""

from __future__ import annotations

import os
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ml_tasks.errors import ConfigError, ExitCode, RejectedError, SourceError
from ml_tasks.flow import FLOWS
from ml_tasks.io import runs
from ml_tasks.io.control import Control
from ml_tasks.result import Window
from perennial import runner
from perennial.cores import Cores, Turn
from perennial.weeks import CAUSE, WHY

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from concurrent.futures import Future
    from types import TracebackType

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.flow import Dag, Step
    from ml_tasks.io.control import Trigger
    from perennial.runner import Done

WAIT_SECONDS = 2.0
"""Before a task is tried again."""


class Here:
    """Runs flows as processes of this machine.

    A week may come in while another one is watched or a model is trained: rows and features are
    read as they were known at their time, so that what comes later changes nothing of it. It comes
    in where a core has nothing else to do: the week that is watched waits for no later one.
    """

    def __init__(
        self,
        environment: Environment,
        pipeline: Pipeline,
        weeks: Sequence[Window],
        doing: Callable[[str], None],
    ) -> None:
        """Remember what there is to do.

        Args:
            environment: Where state lives.
            pipeline: The product.
            weeks: Those that are brought in, oldest first.
            doing: Told what goes on, but for what is brought in ahead.
        """
        self._environment, self._pipeline, self._doing = environment, pipeline, doing
        self._control, self._weeks = Control(environment.control), weeks
        self._ahead, self._books = ThreadPoolExecutor(1), ThreadPoolExecutor(1)
        self._cores = Cores(os.cpu_count() or 1)
        self._coming: dict[Window, Future[None]] = {}
        self._recorded: list[Future[Done]] = []

    def __enter__(self) -> Here:
        """Begin to bring in."""
        self._control.migrate()
        known = {(one.start, one.end) for one in self._control.windows(self._pipeline.name)}
        for week in self._weeks:
            if (week.start.isoformat(), week.end.isoformat()) not in known:
                self._coming[week] = self._ahead.submit(self._bring, week)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        _fault: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Bring in nothing more; records are left out after a fault or an interruption alone."""
        self._ahead.shutdown(cancel_futures=True)
        self._books.shutdown(cancel_futures=kind is not None)

    def ingest(self, week: Window) -> None:
        """Wait until a week is in."""
        if week in self._coming:
            self._doing(f"week of {week.start:%Y-%m-%d}: coming in")
            self._coming[week].result()

    def watch(self, week: Window) -> None:
        """Run the monitoring of a week; nothing that follows waits for its record."""
        own = f"year-monitoring-{week.start:%Y-%m-%d}"
        # A year that is told again reads the looks of all its later weeks for none of them.
        ran = runs.results(self._environment, self._pipeline.name, own)
        run = own if ran else self._watched(week) or own
        _require(self._flow("monitoring", run, week, self._doing, aside=True))

    def _watched(self, week: Window) -> str | None:
        """Give the run that has watched a week already, by Airflow or by a person."""
        name, since, until = self._pipeline.name, f"{week.start:%Y-%m-%d}", f"{week.end:%Y-%m-%d}"
        looks = self._control.looks(name, since=since)
        for run in sorted({look.run for look in looks if look.day < until}):
            decided = runs.results(self._environment, name, run).get("decide")
            if decided is not None and decided.window == week and decided.error is None:
                return run
        return None

    def settle(self) -> None:
        """Wait for all records.

        Raises:
            PerennialError: Some could not be written; the same command writes them.
        """
        self._doing("records")
        ended = [one.result() for one in self._recorded]
        _require(*(done for done in ended if not done.outcome.succeeded))

    def ask(self, window: Window) -> None:
        """Write the trigger."""
        self._control.ask(
            self._pipeline.name, CAUSE, str(window), who="perennial year", evidence={"why": WHY}
        )

    def train(self, trigger: Trigger) -> None:
        """Run its training; what the data do not allow is its outcome."""
        window = Window.parse(trigger.window)
        run = trigger.run or self._name(trigger, window)
        failed = self._flow("training", run, window, self._doing, trigger.id, aside=True)
        if failed is not None and failed.outcome.code != ExitCode.REJECTED:
            _require(failed)

    def _name(self, trigger: Trigger, window: Window) -> str:
        """Name a training after its end; with its trigger, where another may have that name."""
        from ml_tasks.decide import CAUSE as DECIDED

        name = f"year-training-{window.end:%Y-%m-%d}"
        taken = any(one.run == name for one in self._control.triggers(self._pipeline.name))
        usual = trigger.cause in (CAUSE, DECIDED) and trigger.replays is None
        return name if usual and not taken else f"{name}-{trigger.id}"

    def _bring(self, week: Window) -> None:
        run = f"year-ingestion-{week.start:%Y-%m-%d}"
        _require(self._flow("ingestion", run, week, _nobody, ahead=True))

    def _flow(
        self,
        flow: Dag,
        run: str,
        window: Window,
        doing: Callable[[str], None],
        trigger: str | None = None,
        *,
        aside: bool = False,
        ahead: bool = False,
    ) -> Done | None:
        """Do what of a run is not done yet; give the task that failed, if one did.

        Args:
            flow: Which flow.
            run: Name of the run.
            window: Its window.
            doing: Told what is done.
            trigger: Of a training.
            aside: Let its record be written while others go on.
            ahead: Leave the cores to all others.
        """
        known = runs.results(self._environment, self._pipeline.name, run)
        good = {
            task
            for task, result in known.items()
            if result.error is None and result.window in (None, window)
        }
        failed: Done | None = None
        skipped = False
        for together in waves(FLOWS[flow]):
            wave = [place for place in together if place.task not in good]
            last = bool(wave) and wave[0].teardown
            if not wave or (last and skipped and wave[0].unless_skipped):
                continue
            if (failed or skipped) and not last:
                continue
            doing(f"week to {window.end:%Y-%m-%d}: {', '.join(place.task for place in wave)}")
            todo = [
                (place, run, str(window), trigger, self._turn(number, ahead=ahead))
                for number, place in enumerate(wave)
            ]
            if last and aside and failed is None:
                self._recorded.append(self._books.submit(self._tried, *todo[0]))
                continue
            with ThreadPoolExecutor(len(todo)) as pool:
                for done in pool.map(lambda one: self._tried(*one), todo):
                    skipped = skipped or done.outcome.code == ExitCode.SKIP
                    if not done.outcome.succeeded and done.outcome.code != ExitCode.SKIP:
                        failed = failed or done
        return failed

    def _turn(self, number: int, *, ahead: bool) -> Turn:
        """Give a task's turn: what is watched waits for no later week, and only for its own."""
        if ahead:
            return Turn.LAST
        return Turn.AT_ONCE if number < self._cores.count else Turn.NEXT

    def _tried(self, place: Step, run: str, window: str, trigger: str | None, turn: Turn) -> Done:
        """Run a task, again where another try may help, as often as Airflow would."""
        for last in (*([False] * place.retries), True):
            with self._cores.taken(self._wanted(place), turn):
                done = runner.run_task(
                    self._environment, self._pipeline, place, run=run, window=window,
                    trigger=trigger if place.task == "claim" else None, on_line=_nobody,
                )  # fmt: skip
            over = done.outcome.succeeded or done.outcome.code == ExitCode.SKIP
            if over or last or done.outcome.hopeless:
                return done
            time.sleep(WAIT_SECONDS)
        raise AssertionError("the last try is one")

    def _wanted(self, place: Step) -> int:
        """Give the cores that a task keeps busy; a record waits for MLflow most of the time."""
        if place.teardown:
            return 0
        return self._pipeline.training.processes if place.task == "train" else 1


def waves(flow: Sequence[Step]) -> list[list[Step]]:
    """Give the steps of a flow in their order, side by side where none needs the other.

    >>> [[step.task for step in wave] for wave in waves(FLOWS["training"])][2:5]
    [['prove', 'train', 'baseline'], ['evaluate'], ['judge']]
    """
    found: list[list[Step]] = []
    for step in flow:
        names = {one.task for one in found[-1]} if found else set()
        apart = not step.needs or bool(names & set(step.needs))
        if found and not apart:
            found[-1].append(step)
        else:
            found.append([step])
    return found


def _nobody(_line: str) -> None:
    """Show no log: what goes wrong is told at the end."""


def _require(*ended: Done | None) -> None:
    """Raise where tasks failed: with their reasons, and how to enter them again."""
    failed = [one for one in ended if one is not None]
    if not failed:
        return
    raise _kind(failed[0])("\n".join(line for one in failed for line in _said(one)))


def _kind(failed: Done) -> type[ConfigError | RejectedError]:
    result = failed.outcome.result
    if result and result.error and result.error.kind == SourceError.__name__:
        return SourceError
    return ConfigError if failed.outcome.code == ExitCode.CONFIG else RejectedError


def _said(failed: Done) -> list[str]:
    said = [f"{failed.task}: {failed.outcome.message}"]
    if failed.outcome.result is None:
        said += failed.outcome.tail[-5:]
    if failed.capsule:
        said.append(f"to enter it again: perennial repro {failed.capsule}")
    return said
