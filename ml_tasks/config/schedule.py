"""When windows are cut, and trainings asked for."""

from __future__ import annotations

from datetime import UTC, date, datetime, time, timedelta

from croniter import croniter
from pydantic import ValidationInfo, field_validator, model_validator

from ml_tasks.config.section import Section


class Schedule(Section):
    """When windows are cut."""

    cron: str
    """The window's boundaries, as cron in UTC: each firing ends one window and begins the next."""
    start: date
    """First window's start."""
    end: date | None = None
    """No window starts later than this; without it the pipeline goes on for ever."""
    training: str | None = None
    """When a training of all that is in is asked for, as cron in UTC; without it only people,
    monitors and other systems ask."""

    @field_validator("cron", "training")
    @classmethod
    def _is_cron(cls, value: str | None) -> str | None:
        if value is not None and not croniter.is_valid(value):
            raise ValueError("five fields of cron, such as '0 0 * * 2' for Tuesdays at 00:00 UTC")
        return value

    @field_validator("start", "end")
    @classmethod
    def _within_centuries(cls, value: date | None) -> date | None:
        """Windows before and after, and what is reckoned from them, are days of the calendar."""
        if value is not None and not 1900 <= value.year < 2200:
            raise ValueError(f"came {value}, wanted a day of the years 1900 to 2199")
        return value

    @field_validator("end")
    @classmethod
    def _after_start(cls, value: date | None, told: ValidationInfo) -> date | None:
        start = told.data.get("start")
        if value is not None and start is not None and value < start:
            raise ValueError(
                f"came {value}, wanted a day not before the start, {start}: there is no window"
            )
        return value

    @model_validator(mode="after")
    def _begins_a_window(self) -> Schedule:
        begin = datetime.combine(self.start, time(), UTC)
        walk = croniter(self.cron, begin)
        if not croniter.match(self.cron, begin):
            raise ValueError(
                f"a start at which {self.cron!r} fires, such as {walk.get_prev(datetime):%Y-%m-%d}"
            )
        if walk.get_next(datetime) - begin < timedelta(days=1):
            raise ValueError("a cron whose windows last a day at least: a window's key is its day")
        return self
