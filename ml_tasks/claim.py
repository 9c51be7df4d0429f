"""Claims the trigger that a training run works for, or skips when somebody else has it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.errors import ConfigError
from ml_tasks.io.control import Control
from ml_tasks.result import Result, Window

if TYPE_CHECKING:
    from ml_tasks.config import Pipeline
    from ml_tasks.context import Context


def run(pipeline: Pipeline, context: Context) -> Result:
    """Claim the trigger; its window is the run's.

    Raises:
        NothingToDo: Another run has it, or there is none of that id.
        ConfigError: The task was started without one, or with one of another pipeline.
        LeaseLostError: A later attempt has had it.
    """
    if not context.trigger:
        raise ConfigError("claim: came no trigger, wanted --trigger ID; ask through the intake DAG")
    control = Control(context.environment.control)
    control.migrate()
    asked = control.trigger(context.trigger)
    if asked.pipeline != pipeline.name:
        raise ConfigError(
            f"trigger {asked.id}: came one of {asked.pipeline!r}, wanted one of {pipeline.name!r}"
        )
    with control.lease_for(context, f"trigger {asked.id}", wait=60) as lease:
        trigger = control.claim(asked.id, context.run, lease)
    return context.result(
        window=Window.parse(trigger.window),
        values={"trigger": trigger.id, "cause": trigger.cause, "who": trigger.who},
    )
