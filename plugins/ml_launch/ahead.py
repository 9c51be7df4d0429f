"""Imports ahead what each task would wait for: in the scheduler, whose forks tasks are, and beside.

The Kubernetes client alone takes more processor time than all else that a launcher does.
"""

from __future__ import annotations

import importlib
import logging

from airflow.listeners import hookimpl

from ml_tasks.config import Environment
from ml_tasks.errors import PerennialError

log = logging.getLogger(__name__)
_ALWAYS = ("pyarrow.fs", "ml_tasks.io.objects", "ml_launch.variables")
AHEAD = {
    ("SchedulerJob", "local"): ("ml_launch.on_worker", *_ALWAYS),
    ("SchedulerJob", "kubernetes"): (
        "ml_launch.cluster.launch",
        "ml_launch.cluster.trigger",
        *_ALWAYS,
    ),
    ("TriggererJob", "kubernetes"): ("ml_launch.cluster.trigger", "ml_launch.cluster.hub"),
}
"""Modules by what starts and by the launcher; all others of Airflow's parts launch nothing."""


@hookimpl
def on_starting(component: object) -> None:
    """Import what a part of Airflow will need."""
    job = getattr(component, "job_type", None)
    if job is None:
        return
    try:
        launcher = Environment().launcher
    except PerennialError as fault:
        log.warning("nothing is imported ahead: %s", fault)
        return
    for name in AHEAD.get((job, launcher), ()):
        importlib.import_module(name)
