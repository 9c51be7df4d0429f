"""Logs of Airflow's tasks where all of its parts share a disk, and no log server runs.

`AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS=ml_launch.log_folder.LOGGING_CONFIG` switches it on. Airflow
reads a running task's log in its folder and asks a log server beside it, whatever it found; that
nobody answers would stand in the API server's log at each look.
"""

from __future__ import annotations

from airflow.config_templates.airflow_local_settings import DEFAULT_LOGGING_CONFIG

ASKING = "airflow.utils.log.file_task_handler"
LOGGING_CONFIG = {
    **DEFAULT_LOGGING_CONFIG,
    "loggers": {**DEFAULT_LOGGING_CONFIG.get("loggers", {}), ASKING: {"level": "CRITICAL"}},
}
REMOTE_TASK_LOG = None
"""Airflow looks for both by these names."""
