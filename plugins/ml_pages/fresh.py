"""How fresh a pipeline's data is, and when its next window is due."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, time
from itertools import pairwise
from typing import TYPE_CHECKING, Literal

from croniter import croniter

from ml_pages import words

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_tasks.config import Schedule
    from ml_tasks.io.windows import Ingested

State = Literal["on time", "late", "ended", "complete"]
GRACE = 0.1
"""Of a window's length: so long after its end it may still be on its way."""


@dataclass(frozen=True, slots=True)
class Fresh:
    """Where a pipeline's windows end, and what comes next."""

    last: Ingested | None
    expected: tuple[datetime, datetime]
    """The next window; it is due at its end."""
    state: State
    hole: tuple[str, str] | None
    """What is missing between two of the newest windows."""

    @property
    def next_window(self) -> str:
        """Give the next window in words."""
        start, end = self.expected
        return words.window(start.isoformat(), end.isoformat())

    @property
    def due(self) -> str:
        """Give when the next window is due."""
        return f"{self.expected[1]:%Y-%m-%d %H:%M}"


def fresh(schedule: Schedule, windows: Sequence[Ingested], now: datetime) -> Fresh:
    """Hold the windows that are in against the schedule.

    Args:
        schedule: The pipeline's.
        windows: The newest, oldest first.
        now: The present moment.
    """
    last = windows[-1] if windows else None
    start = (
        datetime.combine(schedule.start, time(), UTC) if last is None else words.moment(last.end)
    )
    end: datetime = croniter(schedule.cron, start).get_next(datetime)
    return Fresh(last, (start, end), _state(schedule, start, end, now), _hole(windows))


def _state(schedule: Schedule, start: datetime, end: datetime, now: datetime) -> State:
    if schedule.end is not None:
        over = datetime.combine(schedule.end, time(), UTC)
        if start > over:
            return "complete"
        if over < now:
            return "ended"
    return "late" if now > end + GRACE * (end - start) else "on time"


def _hole(windows: Sequence[Ingested]) -> tuple[str, str] | None:
    """Give the newest gap."""
    gaps = [(a.end, b.start) for a, b in pairwise(windows) if b.start > a.end]
    return gaps[-1] if gaps else None
