"""Ends a process that makes no more progress, and says where it stood."""

from __future__ import annotations

import faulthandler
import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from ml_tasks.errors import ExitCode

if TYPE_CHECKING:
    from types import TracebackType

log = logging.getLogger(__name__)


class Watchdog:
    """A thread that wants a beat every so many seconds; without one the process ends.

    A rank that hangs in a collective call keeps all others waiting for ever: torchrun sees
    living processes. Ending one lets it end and restart them all.
    """

    def __init__(self, rank: int, seconds: float) -> None:
        """Watch over a rank; `seconds` is the longest pause between two beats."""
        self._rank, self._seconds = rank, seconds
        self._where, self._last = "start", time.monotonic()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="watchdog")

    def beat(self, where: str) -> None:
        """Say that there was progress, and where."""
        self._where, self._last = where, time.monotonic()

    def __enter__(self) -> Watchdog:
        """Begin to watch."""
        self.beat("start")
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop watching."""
        self._done.set()
        self._thread.join()

    def _watch(self) -> None:
        while not self._done.wait(min(1.0, self._seconds / 4)):
            if time.monotonic() - self._last > self._seconds:
                log.error(
                    "rank %s made no step for %s s; it stood at %s. Its threads:",
                    self._rank,
                    self._seconds,
                    self._where,
                )
                faulthandler.dump_traceback(all_threads=True)
                os._exit(int(ExitCode.CRASH))
