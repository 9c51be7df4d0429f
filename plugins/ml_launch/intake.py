"""Writes a wish to train into the trigger ledger."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from ml_tasks.config import Environment
from ml_tasks.errors import ConfigError
from ml_tasks.io.control import Control
from ml_tasks.result import Window

if TYPE_CHECKING:
    from collections.abc import Mapping

log = logging.getLogger(__name__)


def write_trigger(pipeline: str, params: Mapping[str, Any], run: str) -> str:
    """Write the trigger that a form asks for; give its id.

    A retry of the same run finds the trigger that it wrote. A wish that was written before by
    another run is skipped where its training has been claimed, and started again where it was not:
    the event may have been lost with the machine.

    Raises:
        AirflowFailException: The window is none.
        AirflowSkipException: This was asked before, and somebody works or worked on it.
    """
    control = Control(Environment().control)
    control.migrate()
    end = params["window_end"] or _newest(control, pipeline)
    try:
        window = Window.parse(f"{params['window_start']}/{end}")
    except ValueError as fault:
        raise AirflowFailException(str(fault)) from fault
    trigger, created = control.ask(
        pipeline,
        params["cause"],
        str(window),
        who=run,
        evidence={"why": params["why"]},
        replay=run if params["again"] else None,
    )
    if not created and trigger.state != "asked" and trigger.who != run:
        raise AirflowSkipException(
            f"trigger {trigger.id}: {trigger.cause} asked for {trigger.window} before; run "
            f"{trigger.run} has it ({trigger.state}, {trigger.outcome}). Tick 'again' to repeat it"
        )
    log.info("trigger %s: %s asks for %s", trigger.id, trigger.cause, trigger.window)
    return trigger.id


def _newest(control: Control, pipeline: str) -> str:
    end = control.covered(pipeline)
    if end is None:
        raise ConfigError(f"{pipeline}: no window was published yet; ingest some first")
    return end
