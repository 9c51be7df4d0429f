"""What every task process is told beside where state lives."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ml_tasks.config import TaskResources

WHERE_LOADED = {
    # A thread that spins while it waits takes the processor from whom it waits for.
    "OMP_WAIT_POLICY": "PASSIVE",
    # Polars gives back what it frees, and asks for it again: an eighth of a large join's time.
    "_RJEM_MALLOC_CONF": "dirty_decay_ms:-1,muzzy_decay_ms:-1",
    # They were slow to come on a virtual machine whose host takes free memory back.
    "NUMPY_MADVISE_HUGEPAGE": "0",
}
"""What libraries read as they are loaded: a task's own would come too late for a fork."""
AT_START = {
    # What numpy frees is kept, too: logistic regression makes a gigabyte anew at each step.
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": str(2**40),
}
"""What glibc reads as a process begins; other C libraries know none of it."""


def for_tasks(resources: TaskResources) -> dict[str, str]:
    """Give the variables by which libraries keep to a task's share, to themselves, and memory."""
    threads = str(max(1, int(resources.cpus)))
    return {
        **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), threads),
        **WHERE_LOADED,
        **AT_START,
        "PYTHONUNBUFFERED": "1",
        "GX_ANALYTICS_ENABLED": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        # The task is tried again: MLflow's own seven tries take four minutes.
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "3",
        "DO_NOT_TRACK": "true",
    }
