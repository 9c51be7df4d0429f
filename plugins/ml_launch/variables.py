"""What every task process is told beside where state lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_tasks.config import TaskResources


def for_tasks(resources: TaskResources) -> dict[str, str]:
    """Give the variables by which libraries keep to a task's share and to themselves."""
    threads = str(max(1, int(resources.cpus)))
    return {
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads),
        # A thread that spins while it waits takes the processor from whom it waits for.
        "OMP_WAIT_POLICY": "PASSIVE",
        "PYTHONUNBUFFERED": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # The task is tried again: MLflow's own seven tries take four minutes.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
        "DO_NOT_TRACK": "true",
    }
