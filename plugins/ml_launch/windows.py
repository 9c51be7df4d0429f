"""Windows of a schedule."""

from __future__ import annotations

from datetime import UTC, datetime

from croniter import croniter


def window_at(cron: str, key: str) -> str:
    """Give the window that begins at a partition key, `START/END`: it ends at the next firing.

    Args:
        cron: The pipeline's schedule, in UTC.
        key: A date, or an ISO 8601 time.

    Raises:
        ValueError: The key is no time, or no window begins there.
    """
    start = datetime.fromisoformat(key)
    start = start.replace(tzinfo=UTC) if start.tzinfo is None else start.astimezone(UTC)
    if not croniter.match(cron, start):
        nearest = croniter(cron, start).get_prev(datetime)
        raise ValueError(
            f"partition key {key!r}: no window of {cron!r} begins there; the one before begins at "
            f"{nearest:%Y-%m-%dT%H:%M}"
        )
    end: datetime = croniter(cron, start).get_next(datetime)
    return f"{start:%Y-%m-%dT%H:%M:%SZ}/{end:%Y-%m-%dT%H:%M:%SZ}"
