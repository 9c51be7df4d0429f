"""What holds against a training that policies want."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from ml_tasks.config.outside import OUTSIDE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date, datetime

    from ml_tasks.config.monitoring import Retraining

MONTH = timedelta(days=30)
MONITOR = "monitor"
"""Cause of all triggers that monitoring asks for, whichever policy wants it."""
DECIDERS = (MONITOR, OUTSIDE)
"""Causes of the triggers that policies asked for: limits hold over all of them."""


def against(
    limits: Retraining,
    end: datetime,
    asked: Sequence[datetime],
    rolled_back: datetime | None = None,
) -> str | None:
    """Say which limit is in the way; `None` where none is.

    Args:
        limits: Cool-down and budget.
        end: Up to when there is something to learn from.
        asked: Window ends of the trainings that policies asked for before.
        rolled_back: Up to when windows were in at the last rollback, a monitor's or a person's.
    """
    days = timedelta(days=limits.cool_down_days)
    if asked:
        last, recent = max(asked), [at for at in asked if end - at < MONTH]
        if last >= end:
            return f"a training up to {last:%Y-%m-%d} was asked for already"
        if end - last < days:
            return f"cool-down of {days.days} days since {last:%Y-%m-%d}"
        if len(recent) >= limits.most_a_month:
            return f"{len(recent)} trainings were asked for in 30 days, the most that may be"
    # The same rows would give the same model again.
    if rolled_back is not None and timedelta(0) <= end - rolled_back < days:
        return f"cool-down of {days.days} days since the rollback of {rolled_back:%Y-%m-%d}"
    return None


def taken_in(day: date, asked: Sequence[datetime]) -> bool:
    """Tell whether a training that was asked for takes a day in, as a whole.

    Args:
        day: Of an alarm, which is no reason any more then.
        asked: Window ends of the trainings that policies asked for.
    """
    return any(day < end.date() for end in asked)
