"""The loop on files, as processes of this machine: what every other way is held against."""

from __future__ import annotations

from concurrent.futures import Future, ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

from ml_tasks.config import Environment
from perennial.services import Services
from tests.e2e import loop

if TYPE_CHECKING:
    from pathlib import Path


class Laptop:
    """Runs the loop once for all who ask, beside whatever they wait for."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._pool = ThreadPoolExecutor(1)
        self._running: Future[Environment] | None = None

    @cached_property
    def services(self) -> Services:
        """Its own, without Airflow."""
        told = {"home": self.folder / "home", "pipelines": self.folder / "pipelines"}
        words = {"profile": "embedded", "launcher": "local"}
        return Services(Environment.model_validate(told | words), airflow=False)

    def start(self) -> None:
        """Begin; once."""
        if self._running is None:
            self._running = self._pool.submit(self._run)

    def environment(self) -> Environment:
        """Wait for its end, begun or not; give where its state lies."""
        self.start()
        assert self._running is not None
        try:
            return self._running.result()
        except BaseException:
            self._running = None  # whoever asks again tries again
            raise

    def end(self) -> None:
        """End its services when nothing runs on them any more."""
        try:
            self._pool.shutdown(cancel_futures=True)
        finally:
            self.services.down()

    def _run(self) -> Environment:
        if not self.services.given.pipelines.exists():
            loop.write(self.services.given.pipelines)
        self.services.up(lambda _name, _seconds: None)
        loop.run(self.services.environment)
        return self.services.environment
