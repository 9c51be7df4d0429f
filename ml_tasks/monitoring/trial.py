"""A promotion's trial: the windows in which the champion before it predicts, too."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ml_tasks.errors import ConfigError
from ml_tasks.io.champions import succession
from ml_tasks.result import Window
from ml_tasks.training import champion

if TYPE_CHECKING:
    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.io.champions import Head, Succession
    from ml_tasks.io.control import Control
    from ml_tasks.training.champion import Stored

log = logging.getLogger(__name__)


def shadow(
    control: Control, environment: Environment, pipeline: Pipeline, head: Head, window: Window
) -> tuple[Head, Stored] | None:
    """Give who predicts beside the champion in a window, and its model.

    That is the other one of the newest promotion's two, also after a rollback, until
    `graded_windows` are through. One that is gone, or that learned from the window, says nothing:
    the champion's predictions do not wait for it.
    """
    found = succession(control.audit(pipeline.name))
    rival = found.rival(head) if found is not None else None
    if found is None or rival is None or window not in windows(control, pipeline, found, window):
        return None
    try:
        if window.start < champion.learned(environment, rival).end:
            return None
        return rival, champion.of_head(environment, rival)
    except ConfigError as fault:
        log.warning("%s: version %s is not compared with: %s", window, rival.version, fault)
        return None


def windows(
    control: Control, pipeline: Pipeline, found: Succession, last: Window
) -> tuple[Window, ...]:
    """Give a trial's windows up to one, oldest first; that one is among them if it has its place.

    Args:
        control: Knows in which windows the new version was measured.
        pipeline: Says how many they are at the most.
        found: The promotion.
        last: Nothing later counts.
    """
    measured = control.measures(pipeline.name, metric=pipeline.evaluation.metric)
    known = {Window.parse(f"{m.start}/{m.end}") for m in measured if m.version == found.new.version}
    before = sorted((w for w in known if w.end < last.end), key=lambda w: w.start)
    return (*before, last)[: pipeline.monitoring.retraining.graded_windows]
