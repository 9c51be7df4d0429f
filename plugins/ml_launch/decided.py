"""What monitoring decided, for the tasks that start the training and tell of a rollback."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowSkipException

from ml_tasks.config import Environment
from ml_tasks.io import objects
from ml_tasks.io.control import Control
from ml_tasks.io.triggers import ASKED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

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
    if trigger.state != ASKED:
        raise AirflowSkipException(
            f"trigger {trigger.id}: run {trigger.run} has it ({trigger.state}, {trigger.outcome})"
        )
    log.info("trigger %s: %s asks for %s", trigger.id, trigger.cause, trigger.window)
    return trigger.id


def decided_rollback(decided: str, told: Iterable[Mapping[str, Any]]) -> tuple[str, dict[str, Any]]:
    """Give the key and the content of the event of a rollback that was decided.

    Args:
        decided: Address of the result of `decide`.
        told: What the champion's events said so far: the same is not told twice.

    Raises:
        AirflowSkipException: None was decided, or it was told already.
    """
    made = objects.read_result(decided).values.get("rollback")
    if made is None:
        raise AirflowSkipException("the champion stays")
    if any(one.get("audit") == made["audit"] for one in told):
        raise AirflowSkipException(f"rollback {made['audit']} was told already")
    log.info("version %s is champion in the place of %s", made["version"], made["before"])
    return f"rollback-{made['audit']}", made
