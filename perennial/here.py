"""Plays weeks without Airflow: flows by the runner, ingestion ahead of what is watched."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from ml_tasks.errors import ConfigError, ExitCode, RejectedError
from ml_tasks.flow import FLOWS
from ml_tasks.io import runs
from ml_tasks.io.control import Control
from ml_tasks.result import Window
from perennial import runner
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
    read as they were known at their time, so that what comes later changes nothing of it.
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
        self._pool = ThreadPoolExecutor(1)
        self._coming: dict[Window, Future[None]] = {}

    def __enter__(self) -> Here:
        """Begin to bring in."""
        self._control.migrate()
        known = {(one.start, one.end) for one in self._control.windows(self._pipeline.name)}
        for week in self._weeks:
            if (week.start.isoformat(), week.end.isoformat()) not in known:
                self._coming[week] = self._pool.submit(self._bring, week)
        return self

    def __exit__(
        self,
        _kind: type[BaseException] | None,
        _fault: BaseException | None,
        _trace: TracebackType | None,
    ) -> None:
        """Bring in nothing more; the week that is on its way comes in."""
        self._pool.shutdown(cancel_futures=True)

    def ingest(self, week: Window) -> None:
        """Wait until a week is in."""
        if week in self._coming:
            self._doing(f"week of {week.start:%Y-%m-%d}: coming in")
            self._coming[week].result()

    def watch(self, week: Window) -> None:
        """Run the monitoring of a week."""
        run = f"year-monitoring-{week.start:%Y-%m-%d}"
        _require(self._flow("monitoring", run, week, self._doing))

    def ask(self, window: Window) -> None:
        """Write the trigger."""
        self._control.ask(
            self._pipeline.name, CAUSE, str(window), who="perennial year", evidence={"why": WHY}
        )

    def train(self, trigger: Trigger) -> None:
        """Run its training; what the data do not allow is its outcome."""
        window = Window.parse(trigger.window)
        run = trigger.run or f"year-training-{window.end:%Y-%m-%d}"
        failed = self._flow("training", run, window, self._doing, trigger.id)
        if failed is not None and failed.outcome.code != ExitCode.REJECTED:
            _require(failed)

    def _bring(self, week: Window) -> None:
        run = f"year-ingestion-{week.start:%Y-%m-%d}"
        _require(self._flow("ingestion", run, week, _nobody))

    def _flow(
        self,
        flow: Dag,
        run: str,
        window: Window,
        doing: Callable[[str], None],
        trigger: str | None = None,
    ) -> Done | None:
        """Do what of a run is not done yet; give the task that failed, if one did."""
        known = runs.results(self._environment, self._pipeline.name, run)
        failed: Done | None = None
        skipped = False
        for place in FLOWS[flow]:
            result = known.get(place.task)
            if result is not None and result.error is None:
                continue
            if (failed or skipped) and not place.teardown:
                continue
            if skipped and place.unless_skipped:
                continue
            doing(f"week of {window.end:%Y-%m-%d}: {place.task}")
            own = trigger if place.task == "claim" else None
            done = self._tried(place, run, str(window), own)
            if done.outcome.code == ExitCode.SKIP:
                skipped = True
            elif not done.outcome.succeeded:
                failed = failed or done
        return failed

    def _tried(self, place: Step, run: str, window: str, trigger: str | None) -> Done:
        """Run a task, again where another try may help, as often as Airflow would."""
        for last in (*([False] * place.retries), True):
            done = runner.run_task(
                self._environment, self._pipeline, place, run=run, window=window, trigger=trigger,
                on_line=_nobody,
            )  # fmt: skip
            over = done.outcome.succeeded or done.outcome.code == ExitCode.SKIP
            if over or last or done.outcome.hopeless:
                return done
            time.sleep(WAIT_SECONDS)
        raise AssertionError("the last try is one")


def _nobody(_line: str) -> None:
    """Show no log: what goes wrong is told at the end."""


def _require(failed: Done | None) -> None:
    """Raise where a task failed: with its reason, and how to enter it again."""
    if failed is None:
        return
    said = f"{failed.task}: {failed.outcome.message}"
    end = "\n".join(failed.outcome.tail[-5:]) if failed.outcome.result is None else ""
    again = f"to enter it again: perennial repro {failed.capsule}" if failed.capsule else ""
    kind = ConfigError if failed.outcome.code == ExitCode.CONFIG else RejectedError
    raise kind("\n".join(one for one in (said, end, again) if one))
