"""What monitoring decided, for the task that starts the training."""

from __future__ import annotations

import logging

from airflow.sdk.exceptions import AirflowSkipException

from ml_tasks.config import Environment
from ml_tasks.io import objects
from ml_tasks.io.control import Control

log = logging.getLogger(__name__)


def decided_trigger(decided: str) -> str:
    """Give the trigger that was decided and that nobody has claimed.

    Args:
        decided: Address of the result of `decide`.

    Raises:
        AirflowSkipException: No training was decided, or its trigger is claimed already.
    """
    values = objects.read_result(decided).values
    if values["trigger"] is None:
        raise AirflowSkipException(f"no training: {values['why']}")
    trigger = Control(Environment().control).trigger(values["trigger"])
    if trigger.state != "asked":
        raise AirflowSkipException(
            f"trigger {trigger.id}: run {trigger.run} has it ({trigger.state}, {trigger.outcome})"
        )
    log.info("trigger %s: %s asks for %s", trigger.id, trigger.cause, trigger.window)
    return trigger.id
