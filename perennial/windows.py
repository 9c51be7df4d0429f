"""Which windows a product has."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from itertools import takewhile
from typing import TYPE_CHECKING

from croniter import croniter

from ml_tasks.errors import ConfigError
from ml_tasks.result import Window

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_tasks.config import Pipeline, Schedule


def windows(pipeline: Pipeline, until: date | None = None) -> list[Window]:
    """Give the windows that are over, oldest first.

    Args:
        pipeline: Says how they are cut; none begins later than its schedule's end.
        until: None ends later than this day begins.
    """
    last = datetime.now(UTC)
    if until is not None:
        last = min(last, datetime.combine(until, time(), UTC))
    return list(takewhile(lambda window: window.end <= last, _walk(pipeline.schedule)))


def named(pipeline: Pipeline, until: str) -> list[Window]:
    """Give the windows that end by a day as somebody wrote it; all that are over when empty.

    Raises:
        ConfigError: The day is none, or no window ends by it.
    """
    try:
        day = datetime.fromisoformat(until).date() if until else None
    except ValueError as fault:
        raise ConfigError(f"--until: came {until!r}, wanted a day such as 2013-06-04") from fault
    found = windows(pipeline, day)
    if not found:
        first = next(_walk(pipeline.schedule))
        came = until or f"{datetime.now(UTC):%Y-%m-%d}"
        raise ConfigError(f"--until: came {came}, wanted {first.end:%Y-%m-%d} at least")
    return found


def _walk(schedule: Schedule) -> Iterator[Window]:
    start = datetime.combine(schedule.start, time(), UTC)
    firings = croniter(schedule.cron, start)
    while schedule.end is None or start.date() <= schedule.end:
        end = firings.get_next(datetime)
        yield Window(start=start, end=end)
        start = end
