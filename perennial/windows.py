"""Which windows a product has."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from croniter import croniter

from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from ml_tasks.config import Pipeline


def windows(pipeline: Pipeline, until: str) -> dict[str, str]:
    """Give the windows that end by a day: the day each begins at, and the day it ends before.

    Raises:
        ConfigError: The day is none, or no window ends by it.
    """
    try:
        last = datetime.fromisoformat(until).replace(tzinfo=UTC)
    except ValueError as fault:
        raise ConfigError(f"--until: came {until!r}, wanted a day such as 2013-06-04") from fault
    start = datetime.combine(pipeline.schedule.start, datetime.min.time(), UTC)
    walk = croniter(pipeline.schedule.cron, start)
    end = walk.get_next(datetime)
    if end > last:
        raise ConfigError(f"--until: came {until}, wanted {end:%Y-%m-%d} at least")
    found = {}
    while end <= last:
        found[f"{start:%Y-%m-%d}"] = f"{end:%Y-%m-%d}"
        start, end = end, walk.get_next(datetime)
    return found
