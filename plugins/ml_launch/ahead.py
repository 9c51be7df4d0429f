"""Imports in the scheduler what each task's process would import anew: those are its forks."""

from __future__ import annotations

import importlib
import logging

from airflow.listeners import hookimpl

from ml_launch import launcher
from ml_tasks.config import Environment
from ml_tasks.errors import PerennialError

log = logging.getLogger(__name__)
AHEAD = ("pyarrow.fs", "ml_tasks.io.objects", "ml_launch.variables")
"""What follows a launch, whatever the launcher."""


@hookimpl
def on_starting(component: object) -> None:
    """Import the launcher where tasks are forked; elsewhere it is not wanted."""
    if getattr(component, "job_type", None) != "SchedulerJob":
        return
    try:
        launcher(Environment())
    except PerennialError as fault:
        log.warning("the launcher is not imported ahead: %s", fault)
    for name in AHEAD:
        importlib.import_module(name)
