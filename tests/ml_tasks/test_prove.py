"""What the leak proof refuses, and for whom it counts; what it finds is in `prover/`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import pytest

from ml_tasks import evaluate, prove
from ml_tasks.context import Context
from ml_tasks.errors import ConfigError
from ml_tasks.gates.verdict import Leaks
from ml_tasks.result import Output, Result, Window

if TYPE_CHECKING:
    from pathlib import Path

    from ml_tasks.config import Environment, Pipeline

WINDOW = Window.parse("2013-01-01/2013-01-22")


class Given(Protocol):
    """Makes contexts of one run."""

    def __call__(self, task: str, **inputs: Result) -> Context:
        """Give that of a task."""
        ...


@pytest.fixture
def given(environment: Environment, flights: Pipeline) -> Given:
    def made(task: str, **inputs: Result) -> Context:
        return Context(
            task=task,
            pipeline=flights.name,
            run="r",
            attempt=1,
            environment=environment,
            window=WINDOW,
            inputs=inputs,
        )

    return made


def test_a_set_that_is_no_object_is_refused(given: Given, flights: Pipeline) -> None:
    no_object = Output(content_hash="h", rows=1)
    made = given("assemble").result(outputs={"set": no_object}, values={"snapshots": {}})
    with pytest.raises(ConfigError, match="wanted output 'set' of 'assemble'"):
        prove.run(flights, given("prove"))
    with pytest.raises(ConfigError, match="assemble's set is no object; run assemble again"):
        prove.run(flights, given("prove", assemble=made))


def test_what_was_asked_for_since_the_set_was_made_is_named(
    given: Given, flights: Pipeline, tmp_path: Path
) -> None:
    made = given("assemble").result(
        outputs={"set": Output(uri=(tmp_path / "set").as_uri(), content_hash="h", rows=1)},
        values={"snapshots": {"raw.flights": 1}},
    )
    with pytest.raises(ConfigError, match=r"wanted \['features.aircraft'.*run assemble again"):
        prove.run(flights, given("prove", assemble=made))


@pytest.mark.parametrize(
    ("trained", "proven", "known"),
    [("a", "a", True), ("b", "a", False), ("a", "b", False), ("b", "b", False)],
)
def test_a_proof_counts_for_the_set_that_was_trained_on_alone(
    given: Given, tmp_path: Path, trained: str, proven: str, known: bool
) -> None:
    file = tmp_path / "leaks.json"
    file.write_text(
        Leaks(
            set_hash=proven, rows=1, cells=1, leaks=(), strength={}, coincidence={}
        ).model_dump_json()
    )
    leaks = Output(uri=file.as_uri(), content_hash="h")
    context = given(
        "evaluate",
        assemble=given("assemble").result(outputs={"set": Output(content_hash="a")}),
        prove=given("prove").result(outputs={"leaks": leaks}),
        train=given("train").result(values={"set_hash": trained}),
    )
    assert (evaluate._leaks(context) is not None) == known
