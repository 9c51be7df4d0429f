"""Tasks as Airflow saw them, held against their results."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from ml_tasks.result import Result
from perennial import pod_overhead

NOON = datetime(2026, 1, 1, 12, tzinfo=UTC)


def instance(
    task: str, began: int, ended: int, *, attempt: int = 1, state: str = "success"
) -> dict[str, Any]:
    """A task instance as Airflow's API writes it."""
    return {
        "task_id": task,
        "try_number": attempt,
        "state": state,
        "start_date": (NOON + timedelta(seconds=began)).isoformat().replace("+00:00", "Z"),
        "end_date": (NOON + timedelta(seconds=ended)).isoformat().replace("+00:00", "Z"),
    }


def result(task: str, began: int, ended: int, *, attempt: int = 1) -> Result:
    return Result(
        task=task,
        pipeline="p",
        run="r",
        attempt=attempt,
        started=NOON + timedelta(seconds=began),
        ended=NOON + timedelta(seconds=ended),
    )


def test_what_is_not_a_tasks_own_is_added() -> None:
    made = [
        result("ingest", 8, 18),
        result("derive", 1, 2),
        result("derive", 5, 29, attempt=2),
        result("validate", 1, 4),
        result("materialise", 1, 4),
    ]
    instances = [
        instance("derive", 0, 30, attempt=2),
        instance("ingest", 0, 20),
        instance("validate", 0, 9, attempt=2),
        instance("materialise", 0, 9, state="failed"),
    ]
    found = pod_overhead.of_run(instances, {(one.task, one.attempt): one for one in made})
    assert pod_overhead.rows(found) == [
        ("ingest", 1, "20.0", "10.0", "10.0", "8.0", "2.0"),
        ("derive", 1, "30.0", "24.0", "6.0", "5.0", "1.0"),
    ]


def test_the_median_counts() -> None:
    found = [pod_overhead.Spell("train", before, 10, 1) for before in (2, 3, 40)]
    assert pod_overhead.rows(found) == [("train", 3, "14.0", "10.0", "4.0", "3.0", "1.0")]
