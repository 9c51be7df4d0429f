"""Watches for wishes to train whose event was lost, in Airflow's triggerer."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseEventTrigger, TriggerEvent

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

log = logging.getLogger(__name__)
OLDER = timedelta(minutes=10)
"""How long a wish may wait for its training before its event counts as lost."""
POLL_SECONDS = 30.0
LONGEST_SECONDS = 3600.0


class Unclaimed(BaseEventTrigger):
    """Fires when a pipeline's wish has waited too long; again ever later, while it still waits."""

    def __init__(self, pipeline: str) -> None:
        """Remember whose wishes."""
        super().__init__()  # type: ignore[no-untyped-call]
        self.pipeline = pipeline
        self._due: dict[str, float] = {}
        self._pause: dict[str, float] = {}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Give what makes the trigger again."""
        return "ml_launch.unclaimed.Unclaimed", {"pipeline": self.pipeline}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look every half minute; an event names the wishes."""
        while True:
            if due := self.due(await asyncio.to_thread(self._waiting), time.monotonic()):
                log.info("%s: nobody has claimed %s", self.pipeline, ", ".join(due))
                yield TriggerEvent({"triggers": due})  # type: ignore[no-untyped-call]
            await asyncio.sleep(POLL_SECONDS)

    def due(self, waiting: list[str], now: float) -> list[str]:
        """Give the wishes to tell of now: a training that runs may keep them waiting for hours."""
        for known in (self._due, self._pause):
            for name in known.keys() - set(waiting):
                del known[name]
        told = [name for name in waiting if now >= self._due.get(name, now)]
        for name in told:
            pause = self._pause.get(name, OLDER.total_seconds() / 2)
            self._pause[name] = min(2 * pause, LONGEST_SECONDS)
            self._due[name] = now + self._pause[name]
        return told

    def _waiting(self) -> list[str]:
        from ml_tasks.config import Environment
        from ml_tasks.errors import BackendError
        from ml_tasks.io.control import Control

        control = Control(Environment().control)
        try:
            control.migrate()
            return [one.id for one in control.unclaimed(self.pipeline, OLDER)]
        except BackendError as fault:
            log.warning("%s; looked for again in %s s", fault, POLL_SECONDS)
            return []
