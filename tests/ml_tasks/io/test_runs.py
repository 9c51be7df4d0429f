from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ml_tasks.flow import step
from ml_tasks.io import objects, runs
from ml_tasks.result import Result

if TYPE_CHECKING:
    from ml_tasks.config import Environment


def uri(environment: Environment, task: str, attempt: int) -> str:
    return f"{environment.run_folder('p', 'r')}/{task}/{attempt}/result.json"


def left(environment: Environment, task: str, attempt: int, minute: int) -> None:
    result = Result(
        task=task,
        pipeline="p",
        run="r",
        attempt=attempt,
        inputs={need: uri(environment, need, 1) for need in step(task).needs},
        started=datetime(2013, 1, 1, 0, minute, tzinfo=UTC),
    )
    objects.write_result(uri(environment, task, attempt), result)


def test_the_latest_attempt_counts_ten_after_nine(environment: Environment) -> None:
    for attempt in (9, 10):
        left(environment, "ingest", attempt, attempt)
    assert runs.results(environment, "p", "r")["ingest"].attempt == 10
    assert runs.attempts(environment, "p", "r", "ingest") == 10
    assert runs.attempts(environment, "p", "r", "validate") == 0


def test_what_stands_on_an_earlier_attempt_is_left_out(environment: Environment) -> None:
    for minute, task in enumerate(("claim", "assemble", "train", "evaluate", "judge", "register")):
        left(environment, task, 1, minute)
    left(environment, "train", 2, 30)
    assert list(runs.results(environment, "p", "r")) == ["claim", "assemble", "train"]


def test_a_clock_that_is_set_back_makes_no_result_an_older_one(environment: Environment) -> None:
    tasks = ("claim", "assemble", "train", "evaluate", "judge", "register")
    for minute, task in enumerate(tasks):
        left(environment, task, 1, 59 - minute)
    assert set(runs.results(environment, "p", "r")) == set(tasks)
