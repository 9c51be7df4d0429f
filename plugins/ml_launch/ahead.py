"""Imports ahead what each task would wait for: in the scheduler, whose forks tasks are, and beside.

The Kubernetes client alone takes more processor time than all else that a launcher does.
"""

from __future__ import annotations

import importlib
import logging
import sys

from airflow.listeners import hookimpl

from ml_tasks.config import Environment
from ml_tasks.errors import PerennialError

log = logging.getLogger(__name__)
_ALWAYS = ("pyarrow.fs", "ml_tasks.io.objects", "ml_launch.variables")
AHEAD = {
    ("scheduler", "local"): ("ml_launch.on_worker", *_ALWAYS),
    ("scheduler", "kubernetes"): (
        "ml_launch.cluster.launch",
        "ml_launch.cluster.trigger",
        *_ALWAYS,
    ),
    ("triggerer", "kubernetes"): ("ml_launch.cluster.trigger", "ml_launch.cluster.hub"),
}
"""Modules by what starts and by the launcher; all others of Airflow's parts launch nothing."""


@hookimpl
def on_starting(component: object) -> None:
    """Import what a part of Airflow will need."""
    # A job is told of before it knows which one it is: `airflow scheduler` has said so.
    part = sys.argv[1] if len(sys.argv) > 1 and hasattr(component, "job_type") else None
    if part not in {name for name, _launcher in AHEAD}:
        return
    try:
        launcher = Environment().launcher
    except PerennialError as fault:
        log.warning("nothing is imported ahead: %s", fault)
        return
    for name in AHEAD.get((part, launcher), ()):
        importlib.import_module(name)
