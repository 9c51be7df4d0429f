"""Watches in Airflow's triggerer for what waits in control, and tells the intake of it."""

from __future__ import annotations

import asyncio
import logging
import time
from abc import abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from ml_tasks.io.control import Control

log = logging.getLogger(__name__)
LONGEST_SECONDS = 3600.0


class Waiting(BaseEventTrigger):
    """Fires when something of a pipeline waits; again ever later, while it still waits."""

    what: ClassVar[str]
    """What waits, for the log."""
    poll_seconds: ClassVar[float]
    pause_seconds: ClassVar[float]
    """So long after it told of something it tells of it again, then ever later."""

    def __init__(self, pipeline: str) -> None:
        """Remember whose."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.pipeline = pipeline
        self._due: dict[str, float] = {}
        self._pause: dict[str, float] = {}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give what makes the trigger again."""
        return f"{type(self).__module__}.{type(self).__name__}", {"pipeline": self.pipeline}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look again and again; an event names what waits."""
        while True:
            if due := self.due(await asyncio.to_thread(self._waiting), time.monotonic()):
                log.info("%s: %s: %s", self.pipeline, self.what, ", ".join(due))
                yield TriggerEvent({self.what: due})  # type: ignore[no-untyped-call]
            await asyncio.sleep(self.poll_seconds)

    def due(self, waiting: list[str], now: float) -> list[str]:
        """Give what to tell of now: a training that runs may keep others waiting for hours."""
        for known in (self._due, self._pause):
            for name in known.keys() - set(waiting):
                del known[name]
        told = [name for name in waiting if now >= self._due.get(name, now)]
        for name in told:
            pause = self._pause.get(name, self.pause_seconds / 2)
            self._pause[name] = min(2 * pause, LONGEST_SECONDS)
            self._due[name] = now + self._pause[name]
        return told

    @abstractmethod
    def look(self, control: Control) -> list[str]:
        """Give the names of what waits.

        Raises:
            BackendError: The database does not answer.
        """

    def _waiting(self) -> list[str]:
        from ml_tasks.config import Environment
        from ml_tasks.errors import PerennialError
        from ml_tasks.io.control import Control

        control = Control(Environment().control)
        try:
            control.migrate()
            return self.look(control)
        except PerennialError as fault:
            log.warning("%s; looked for again in %s s", fault, self.poll_seconds)
            return []
