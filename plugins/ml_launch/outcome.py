"""What became of a launched task."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from ml_tasks.errors import ExitCode

if TYPE_CHECKING:
    from ml_tasks.result import Result

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


@dataclass(slots=True)
class Tail:
    """The last lines of a log."""

    lines: list[str] = field(default_factory=list)

    def add(self, line: str) -> None:
        """Keep a line, and forget the oldest one above the limit."""
        self.lines.append(line)
        del self.lines[:-TAIL]
