"""Plays weeks by real runs of DAGs: each week is over before the next one comes in."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.errors import ExitCode, RejectedError
from ml_tasks.io import runs
from ml_tasks.io.triggers import DONE
from ml_tasks.result import Window
from perennial.weeks import CAUSE, WHY

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.io.control import Control, Trigger
    from perennial.loop import Loop, Show


class InAirflow:
    """Starts what people and assets start, and follows it.

    What comes in starts the monitoring, and what that decides starts the training: so a week may
    come in only when all that the week before has started is over.
    """

    def __init__(
        self,
        loop: Loop,
        environment: Environment,
        pipeline: Pipeline,
        control: Control,
        doing: Callable[[str], None],
    ) -> None:
        """Remember what it works with.

        Args:
            loop: The product's DAGs.
            environment: Where state lives.
            pipeline: The product.
            control: Says what was asked for.
            doing: Told what goes on.
        """
        self._loop, self._environment, self._pipeline = loop, environment, pipeline
        self._control, self._say = control, doing

    def ingest(self, week: Window) -> None:
        """Bring a week in by a backfill."""
        key = f"{week.start:%Y-%m-%d}"
        self._loop.ingest([key], lambda _done, what: self._say(what or f"week of {key}: in"))

    def watch(self, week: Window) -> None:
        """Follow the monitoring that the week has started."""
        key = f"{week.start:%Y-%m-%d}"
        self._loop.watch(key, lambda _done, what: self._say(f"week of {key}: {what}"))

    def ask(self, window: Window) -> None:
        """Ask by the intake, and follow the training that it starts."""
        if not any(one.state == DONE for one in self._asked(window)):
            self._follow(
                window,
                lambda show: self._loop.train(CAUSE, str(window), WHY, show),
                lambda: self._asked(window),
            )

    def train(self, trigger: Trigger) -> None:
        """Follow the training of a trigger."""
        self._follow(
            Window.parse(trigger.window),
            lambda show: self._loop.follow(trigger.id, show),
            lambda: [self._control.trigger(trigger.id)],
        )

    def settle(self) -> None:
        """Wait for nothing: what is told was followed to its end, and records write themselves."""

    def _follow(
        self,
        window: Window,
        training: Callable[[Show], object],
        asked: Callable[[], list[Trigger]],
    ) -> None:
        """Follow a training; that the data do not allow it is an outcome, no fault."""
        until = f"{window.end:%Y-%m-%d}"
        try:
            training(lambda _done, what: self._say(f"training until {until}: {what}"))
        except RejectedError:
            if not any(self._refused(one) for one in asked()):
                raise

    def _asked(self, window: Window) -> list[Trigger]:
        found = self._control.triggers(self._pipeline.name)
        return [one for one in found if (one.cause, one.window) == (CAUSE, str(window))]

    def _refused(self, trigger: Trigger) -> bool:
        results = runs.results(self._environment, self._pipeline.name, trigger.run or "")
        faults = [one.error for one in results.values() if one.error is not None]
        return any(fault.exit_code == ExitCode.REJECTED for fault in faults)
