"""Holds pipelines against their schema and against the models of the plug-ins that they name."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ml_tasks import baselines, config, gates, models, sources
from ml_tasks.errors import ConfigError
from ml_tasks.flow import task_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ml_tasks.config import Environment, Pipeline


def look(environment: Environment, wanted: Sequence[str]) -> dict[str, list[str]]:
    """Give each pipeline's faults, a line each.

    Args:
        environment: Says where pipelines lie.
        wanted: Names, or paths of YAML files; all pipelines when empty.
    """
    names = wanted or sorted(path.stem for path in environment.pipelines.glob("*.yaml"))
    return {name: list(_faults(environment, name)) for name in names}


def _faults(environment: Environment, name: str) -> Iterator[str]:
    path = Path(name) if name.endswith((".yaml", ".yml")) else None
    folder, stem = (path.parent, path.stem) if path else (environment.pipelines, name)
    try:
        pipeline = config.load(stem, folder)
    except ConfigError as fault:
        yield from str(fault).splitlines()
        return
    for hold in _checks(pipeline):
        try:
            hold()
        except ConfigError as fault:
            yield from (f"{folder / stem}.yaml: {line}" for line in str(fault).splitlines())


def _checks(pipeline: Pipeline) -> Iterator[Callable[[], object]]:
    for name, source in pipeline.sources.items():
        yield partial(sources.params_of, name, source)
    for gate in pipeline.evaluation.gates:
        yield partial(gates.params_of, gate)
    for name in pipeline.evaluation.baselines:
        yield partial(baselines.baseline, name)
    yield partial(models.params_of, pipeline.training)
    yield partial(_expectations, pipeline)
    yield partial(_resources, pipeline)
    yield partial(_service, pipeline)
    yield partial(_expressions, pipeline)


def _expectations(pipeline: Pipeline) -> None:
    from ml_tasks.io import expectations

    for name, wanted in pipeline.validation.expectations.items():
        expectations.suite_of(wanted, list(pipeline.sources[name].columns), name)


def _resources(pipeline: Pipeline) -> None:
    known = {"default", *task_names()}
    if unknown := sorted(set(pipeline.resources) - known):
        raise ConfigError(f"resources: came {unknown}, wanted some of {sorted(known)}")


def _service(pipeline: Pipeline) -> None:
    from ml_tasks.io import features

    features.views(pipeline.features.service)


def _expressions(pipeline: Pipeline) -> None:
    """Evaluate every SQL expression over no rows: DuckDB names what it does not know."""
    import pyarrow as pa

    from ml_tasks.io.engine import evaluate
    from ml_tasks.sources.schema import arrow_type

    source = pipeline.sources[pipeline.label.source]
    fields = [(name, arrow_type(kind)) for name, kind in source.columns.items()]
    evaluate(
        pa.schema(fields).empty_table(),
        {
            "label.expression": pipeline.label.expression,
            **{f"features.keys.{name}": sql for name, sql in pipeline.features.keys.items()},
            **{f"evaluation.segments.{n}": s for n, s in pipeline.evaluation.segments.items()},
        },
    )
