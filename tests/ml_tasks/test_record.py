from __future__ import annotations

from pathlib import Path

import pytest

from ml_tasks import record
from ml_tasks.config import Environment, Pipeline
from ml_tasks.context import Context
from ml_tasks.io import data_docs, objects
from ml_tasks.io.data_docs import Report, Section
from ml_tasks.io.registry import Registry
from ml_tasks.result import Failure, Result

REFUSED = Section(source="s", staged=9, good=1, rejected=0, quarantined=8, why="too many")
FAILURE = Failure(kind="RejectedError", message="source s: too many", exit_code=65)


@pytest.mark.parametrize("refused", [True, False])
def test_the_report_on_a_window_lies_with_the_run_of_its_task(
    tmp_path: Path, mlflow_url: str, flights: Pipeline, refused: bool
) -> None:
    environment = Environment(home=tmp_path / "home", mlflow_url=mlflow_url)
    run = f"refused-{refused}"

    def context(task: str) -> Context:
        return Context(
            task=task, pipeline=flights.name, run=run, attempt=1, environment=environment
        )

    judged = context("validate")
    told = data_docs.write(Report(flights.name, "w", 0.1, (REFUSED,)), judged)
    result = Result(
        task="validate",
        pipeline=flights.name,
        run=run,
        outputs={} if refused else {"data_docs": told},
        error=FAILURE if refused else None,
    )
    objects.write_result(f"{judged.folder}/result.json", result)
    assert record.run(flights, context("record")).values["failed"] is refused
    registry = Registry(environment, flights.name)
    identity = registry.run(run, "validate")
    place = registry.client.download_artifacts(identity, "data_docs.html", str(tmp_path))
    assert objects.read_text(told.uri or "") == Path(place).read_text()
