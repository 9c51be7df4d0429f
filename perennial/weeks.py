"""The order in which a product's weeks go by, and where they do."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Protocol

from ml_tasks.errors import ConfigError, RejectedError
from ml_tasks.io.triggers import DONE
from ml_tasks.result import Window
from perennial.windows import named, windows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from ml_tasks.config import Pipeline
    from ml_tasks.io.control import Control, Trigger

CAUSE = "year"
"""Of the trainings that nobody decided: those before there is a champion."""
WHY = "there is no champion yet"


class Stage(Protocol):
    """Where the weeks are played; what is done already is not done again."""

    def ingest(self, week: Window) -> None:
        """Bring a week in."""
        ...

    def watch(self, week: Window) -> None:
        """Let the champion be watched in a week."""
        ...

    def ask(self, window: Window) -> None:
        """Ask for the training of a window, as long as nothing is watched that could."""
        ...

    def train(self, trigger: Trigger) -> None:
        """Follow the training of a trigger to its end."""
        ...

    def settle(self) -> None:
        """Wait for what may be done a little later."""
        ...


def chosen(pipeline: Pipeline, since: str, until: str) -> list[Window]:
    """Give the windows that begin on a day or later and end by another.

    Args:
        pipeline: The product.
        since: A day; the schedule's start when empty.
        until: A day; all that are over when empty.

    Raises:
        ConfigError: A day is none, or no window lies between them.
    """
    found = named(pipeline, until)
    try:
        first = datetime.fromisoformat(since).date() if since else pipeline.schedule.start
    except ValueError as fault:
        raise ConfigError(f"--from: came {since!r}, wanted a day such as 2013-01-01") from fault
    weeks = [window for window in found if window.start.date() >= first]
    if not weeks:
        wanted = f"{found[-1].start:%Y-%m-%d} at the latest"
        raise ConfigError(f"--from: came {since}, wanted {wanted}")
    return weeks


def following(pipeline: Pipeline, end: datetime, most: int) -> list[Window]:
    """Give the windows that begin at a window's end, `most` of them where there are so many."""
    return [window for window in windows(pipeline) if window.start >= end][:most]


def play(
    stage: Stage,
    control: Control,
    pipeline: Pipeline,
    weeks: Sequence[Window],
) -> Iterator[Window]:
    """Let the weeks go by in their order, each until nothing of it is left to do; give it then.

    Args:
        stage: Where they are played.
        control: Says who is champion, and what was asked for.
        pipeline: The product.
        weeks: Oldest first.
    """
    for week in weeks:
        stage.ingest(week)
        if control.champion(pipeline.name) is not None:
            stage.watch(week)
        elif _due(control, pipeline, week.end):
            stage.ask(wanted(pipeline, week.end))
        for trigger in asked(control, pipeline, week):
            if trigger.state != DONE:
                stage.train(trigger)
        yield week


def wanted(pipeline: Pipeline, end: datetime) -> Window:
    """Give all that is in at a moment."""
    return Window.parse(f"{pipeline.schedule.start}/{end.isoformat()}")


def asked(control: Control, pipeline: Pipeline, week: Window) -> list[Trigger]:
    """Give the trainings of all up to a week's end, whoever asked for them, oldest first."""
    found = control.triggers(pipeline.name)
    return [one for one in found if Window.parse(one.window).end == week.end]


def _due(control: Control, pipeline: Pipeline, end: datetime) -> bool:
    """Tell whether a first training may be tried: there is enough, and the last try is old."""
    from ml_tasks.assemble import ranges

    try:
        ranges(wanted(pipeline, end), pipeline.split)
    except RejectedError:
        return False
    before = [
        Window.parse(one.window).end
        for one in control.triggers(pipeline.name)
        if one.cause == CAUSE
    ]
    cool_down = timedelta(days=pipeline.monitoring.retraining.cool_down_days)
    return not any(end - cool_down < at < end for at in before)
