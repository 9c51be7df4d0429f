"""Writes a wish to train into the trigger ledger, and finds those that were lost."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from ml_launch.unclaimed import OLDER
from ml_tasks.config import Environment
from ml_tasks.config.limits import DECIDERS
from ml_tasks.errors import NothingToDo
from ml_tasks.io.control import Control
from ml_tasks.io.triggers import ASKED
from ml_tasks.io.windows import NONE_IN, to_come
from ml_tasks.result import Window

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)


SCHEDULE = "schedule"
FIELDS = frozenset({"cause", "window_start", "window_end", "why", "again", "trigger"})
"""What the form has, and so what another system may say."""


def write_trigger(
    pipeline: str, params: Mapping[str, Any], run: str, *, scheduled: bool = False
) -> str:
    """Write the trigger that a form or the schedule asks for; give its id.

    One that stands in the ledger already may be named instead, to be started.

    A retry of the same run finds the trigger that it wrote. A wish that was written before by
    another run is skipped where its training has been claimed, and started again where it was not:
    the event may have been lost with the machine.

    Raises:
        AirflowFailException: The window is none or of days to come, a field is unknown, or nothing
            was ingested yet.
        AirflowSkipException: This was asked before, and somebody works or worked on it.
    """
    if unknown := sorted(set(params) - FIELDS):
        raise AirflowFailException(f"conf: came {unknown}, wanted some of {sorted(FIELDS)}")
    if not params.get("trigger") and params["cause"] in DECIDERS:
        raise AirflowFailException(
            f"cause: came {params['cause']!r}, which the policies ask by; wanted another word"
        )
    control = Control(Environment().control)
    control.migrate()
    if params.get("trigger"):
        return _written(control, pipeline, params["trigger"])
    end = params["window_end"] or control.covered(pipeline)
    if end is None:
        raise AirflowFailException(f"{pipeline}: {NONE_IN}")
    window = _window(f"{params['window_start']}/{end}")
    if params["window_end"]:
        _require_known(window)
    trigger, created = control.ask(
        pipeline,
        SCHEDULE if scheduled else params["cause"],
        str(window),
        who=run,
        evidence={"why": params["why"]},
        replay=run if params["again"] else None,
    )
    if not created and trigger.state != ASKED and trigger.who != run:
        raise AirflowSkipException(
            f"trigger {trigger.id}: {trigger.cause} asked for {trigger.window} before; run "
            f"{trigger.run} has it ({trigger.state}, {trigger.outcome}). Tick 'again' to repeat it"
        )
    log.info("trigger %s: %s asks for %s", trigger.id, trigger.cause, trigger.window)
    return trigger.id


def _window(text: str) -> Window:
    try:
        return Window.parse(text)
    except ValueError as fault:
        raise AirflowFailException(str(fault)) from fault


def _require_known(window: Window) -> None:
    """Hold the end that somebody gave against the day.

    Raises:
        AirflowFailException: Days of it are still to come.
    """
    if early := to_come(window):
        raise AirflowFailException(f"window_end: {early}; empty takes all that is in")


def _written(control: Control, pipeline: str, identity: str) -> str:
    """Give a trigger that was written before, where nobody has it."""
    try:
        trigger = control.trigger(identity)
    except NothingToDo as fault:
        raise AirflowFailException(str(fault)) from fault
    if trigger.pipeline != pipeline:
        raise AirflowFailException(
            f"trigger {identity}: came one of {trigger.pipeline!r}, wanted one of {pipeline!r}"
        )
    if trigger.state != ASKED:
        raise AirflowSkipException(
            f"trigger {identity}: run {trigger.run} has it ({trigger.state}, {trigger.outcome})"
        )
    return identity


def lost_triggers(pipeline: str, trainings: int) -> list[str]:
    """Give the triggers that were asked for some time ago and that no training has claimed.

    Args:
        pipeline: The product.
        trainings: How many trainings are queued or run: any of them may be theirs.

    Raises:
        AirflowSkipException: There are none, or they may wait for the training before them.
    """
    control = Control(Environment().control)
    control.migrate()
    lost = [trigger.id for trigger in control.unclaimed(pipeline, OLDER)]
    if not lost:
        raise AirflowSkipException("every trigger has been claimed, or was asked for just now")
    if trainings:
        raise AirflowSkipException(
            f"{', '.join(lost)}: nobody has claimed them, but {trainings} trainings are queued or "
            "run, which may be theirs"
        )
    log.info("started again, nobody has claimed them: %s", ", ".join(lost))
    return lost
