"""What became of a launched task."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_tasks.errors import ExitCode, PerennialError
from ml_tasks.io import objects

if TYPE_CHECKING:
    from ml_tasks.result import Result

log = logging.getLogger(__name__)
TAIL = 200
"""Lines of the log that are kept for a capsule."""


@dataclass(frozen=True, slots=True)
class Sample:
    """What the task and all that it started used at a moment."""

    second: float
    memory_mb: float
    cpu_percent: float


@dataclass(frozen=True, slots=True)
class Outcome:
    """Exit code, result and traces of one attempt."""

    exit_code: int
    result: Result | None
    tail: tuple[str, ...] = ()
    curve: tuple[Sample, ...] = ()
    stopped: str | None = None
    """Why the launcher ended it; `None` where it ended by itself."""
    final: bool = False
    """Whether the launcher knows that another try would end in the same way."""

    @property
    def code(self) -> int:
        """The exit code that counts: the result's, since torchrun turns all codes into 1."""
        if self.result is not None and self.result.error is not None:
            return self.result.error.exit_code
        return self.exit_code

    @property
    def message(self) -> str:
        """One line that says why it did not finish."""
        if self.stopped is not None:
            return self.stopped
        if self.result is not None and self.result.error is not None:
            return self.result.error.message
        if self.exit_code < 0:
            return f"the process was killed by signal {-self.exit_code}"
        return f"the process ended with exit code {self.exit_code} and left no result"

    @property
    def succeeded(self) -> bool:
        """Whether there is a result without an error."""
        ended = self.exit_code == ExitCode.OK and self.stopped is None
        return ended and self.result is not None and self.result.error is None

    @property
    def hopeless(self) -> bool:
        """Whether another try is in vain: what was refused or wrongly configured stays so."""
        refused = self.code in (ExitCode.CONFIG, ExitCode.REJECTED) and self.stopped is None
        return self.final or refused


def result_at(uri: str) -> Result | None:
    """Read the result that a task has left; none is no fault of the launcher's."""
    try:
        return objects.read_result(uri)
    except FileNotFoundError:
        return None
    except PerennialError as fault:
        log.warning("the result cannot be read: %s", fault)
        return None


@dataclass(slots=True)
class Tail:
    """The last lines of a log."""

    lines: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Keep a line, and forget the oldest one above the limit."""
        self.lines.append(line)
        del self.lines[:-TAIL]
