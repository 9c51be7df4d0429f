"""Three real weeks of flights, brought to the online store once for all tests that need them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

import pytest

from ml_tasks import config
from ml_tasks.config import ROOT, Environment, Pipeline
from ml_tasks.context import Context
from ml_tasks.flow import FLOWS
from ml_tasks.io import objects
from ml_tasks.result import Result, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    Chain = Callable[..., dict[str, Result]]
    Serve = Callable[[Path], str]

WEEKS = tuple(
    Window.parse(w)
    for w in ("2013-01-01/2013-01-08", "2013-01-08/2013-01-15", "2013-01-15/2013-01-22")
)


INGESTION = ("ingest", "validate", "derive", "materialise")


@pytest.fixture(scope="session")
def chain() -> Chain:
    """Run a flow's tasks in order, as a launcher would."""

    def run(
        pipeline: Pipeline,
        environment: Environment,
        flow: str,
        *,
        name: str,
        window: Window,
        tasks: tuple[str, ...],
        trigger: str | None = None,
        before: Mapping[str, Result] | None = None,
    ) -> dict[str, Result]:
        done = dict(before or {})
        for step in FLOWS[flow]:  # type: ignore[index]
            if step.task not in tasks:
                continue
            context = Context(
                task=step.task,
                pipeline=pipeline.name,
                run=name,
                attempt=1,
                environment=environment,
                window=window,
                trigger=trigger,
                inputs={need: done[need] for need in step.needs if need in done},
            )
            module = importlib.import_module(f"ml_tasks.{step.task}")
            done[step.task] = module.run(pipeline, context)
            objects.write_result(f"{context.folder}/result.json", done[step.task])
        return done

    return run


@pytest.fixture(scope="session")
def flights() -> Pipeline:
    """The example product, with parts that fit into three weeks."""
    pipeline = config.load("flight_delays", ROOT / "ml_tasks" / "pipelines")
    split = pipeline.split.model_copy(update={"validation_days": 3, "test_days": 4})
    return pipeline.model_copy(update={"split": split})


@pytest.fixture(scope="session")
def lake_of_weeks(
    tmp_path_factory: pytest.TempPathFactory, flights: Pipeline, chain: Chain
) -> Environment:
    """An environment whose lake and online store hold the weeks."""
    environment = Environment(home=tmp_path_factory.mktemp("weeks"))
    for number, window in enumerate(WEEKS):
        chain(
            flights, environment, "ingestion", name=f"week{number}", window=window, tasks=INGESTION
        )
    return environment


@pytest.fixture(scope="session")
def mlflow_url(tmp_path_factory: pytest.TempPathFactory, mlflow_server: Serve) -> str:
    """A real tracking server's address."""
    return mlflow_server(tmp_path_factory.mktemp("mlflow"))
