"""Holds pipelines against their schema and against the models of the plug-ins that they name."""

from __future__ import annotations

from contextlib import suppress
from functools import partial
from math import isclose
from pathlib import Path
from typing import TYPE_CHECKING

from ml_tasks import baselines, config, drift_tests, gates, models, policies, sources
from ml_tasks.errors import BackendError, ConfigError
from ml_tasks.flow import task_names

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from ml_tasks.config import Environment, Gate, Pipeline


def look(environment: Environment, wanted: Sequence[str]) -> dict[str, list[str]]:
    """Give each pipeline's faults, a line each; `prices` is among them where those do not hold.

    Args:
        environment: Says where pipelines lie.
        wanted: Names, or paths of YAML files; all pipelines when empty.

    Raises:
        ConfigError: There is no pipeline.
    """
    folder = environment.pipelines
    names = wanted or config.names(folder)
    others = [] if wanted else sorted(folder.glob(f"*{config.ENDING}"))
    if not names and not others:
        raise ConfigError(f"PERENNIAL_PIPELINES: came {folder}, wanted a folder with <name>.yaml")
    found = {name: list(_faults(environment, name)) for name in names}
    found |= {path.name: [config.wrong_ending(path)] for path in others}
    try:
        config.load_prices(environment)
    except ConfigError as fault:
        found["prices"] = str(fault).splitlines()
    return found


def _faults(environment: Environment, name: str) -> Iterator[str]:
    path = Path(name) if name.endswith((".yaml", ".yml")) else None
    folder, stem = (path.parent, path.stem) if path else (environment.pipelines, name)
    try:
        pipeline = config.load(stem, folder)
    except ConfigError as fault:
        yield from str(fault).splitlines()
        return
    for hold in _checks(pipeline, folder, environment):
        try:
            hold()
        except ConfigError as fault:
            yield from (f"{folder / stem}.yaml: {line}" for line in str(fault).splitlines())


def _checks(
    pipeline: Pipeline, folder: Path, environment: Environment
) -> Iterator[Callable[[], object]]:
    for name, source in pipeline.sources.items():
        yield partial(sources.params_of, name, source)
    for gate in pipeline.evaluation.gates:
        yield partial(gates.params_of, gate)
        yield partial(_gate, pipeline, gate)
    yield partial(_test_days, pipeline)
    for name in pipeline.evaluation.baselines:
        yield partial(baselines.baseline, name)
    yield partial(_metric, pipeline)
    for drift in pipeline.monitoring.drift:
        yield partial(drift_tests.params_of, drift.test, drift.params, pipeline.monitoring.engine)
    for policy in pipeline.monitoring.retraining.policies:
        yield partial(policies.params_of, policy)
    yield partial(models.params_of, pipeline.training)
    yield partial(_expectations, pipeline)
    yield partial(_resources, pipeline)
    yield partial(_service, pipeline)
    yield partial(_columns, pipeline)
    yield partial(_expressions, pipeline)
    yield partial(_shared, pipeline, folder)
    yield partial(_budget, pipeline, folder)
    yield partial(_lake, pipeline, environment)


def _gate(pipeline: Pipeline, gate: Gate) -> None:
    """Hold a gate against what is measured: a metric of the task, a baseline that is fitted."""
    from ml_tasks.config.metrics import LOWER_IS_BETTER
    from ml_tasks.training.bootstrap import MEASURED

    where, told = f"evaluation.gates {gate.name}", gate.params
    metric, known = told.get("metric"), MEASURED[pipeline.label.task]
    if metric is not None and metric not in known:
        raise ConfigError(
            f"{where}: came metric {metric!r}, wanted one of {', '.join(known)}: label.task is "
            f"{pipeline.label.task}"
        )
    baseline, fitted = told.get("baseline"), pipeline.evaluation.baselines
    if baseline is not None and baseline not in fitted:
        raise ConfigError(
            f"{where}: came baseline {baseline!r}, wanted one of evaluation.baselines {fitted}"
        )
    needed = "maximum" if metric in LOWER_IS_BETTER else "minimum"
    bounds = [
        {"minimum", "maximum"} & set(other.params)
        for other in pipeline.evaluation.gates
        if other.name == gate.name and other.params.get("metric") == metric
    ]
    if any(bounds) and not any(needed in bound for bound in bounds):
        worse = "larger" if needed == "maximum" else "smaller"
        raise ConfigError(
            f"{where}: came no {needed} for {metric}, wanted one: {worse} is worse, so any bad "
            "model would pass"
        )


def _test_days(pipeline: Pipeline) -> None:
    """Hold the days that are tested on against what each gate needs to say anything."""
    came = pipeline.split.test_days
    known = [gate.name for gate in pipeline.evaluation.gates if gate.name in gates.GATES]
    if few := sorted({name for name in known if came < gates.GATES[name].TEST_DAYS}):
        wanted = max(gates.GATES[name].TEST_DAYS for name in few)
        raise ConfigError(
            f"split.test_days: came {came}, wanted {wanted} at least: with fewer nothing passes "
            f"{', '.join(few)}, which ask what is chance and are told by how days differ"
        )


def _others(pipeline: Pipeline, folder: Path) -> Iterator[tuple[Path, Pipeline]]:
    """Give the other pipelines that hold, with their files; those that do not are told of it."""
    for path in sorted(folder.glob("*.yaml")):
        if path.stem != pipeline.name:
            with suppress(ConfigError):
                yield path, config.load(path.stem, folder)


def _shared(pipeline: Pipeline, folder: Path) -> None:
    """Hold sources against those of the same name in other pipelines: they fill the same tables."""
    for path, other in _others(pipeline, folder):
        for name in sorted(pipeline.sources.keys() & other.sources.keys()):
            alike = pipeline.sources[name] == other.sources[name]
            ours, theirs = (p.validation.expectations.get(name, ()) for p in (pipeline, other))
            if not alike or ours != theirs:
                raise ConfigError(
                    f"sources.{name}: came other {'expectations' if alike else 'declarations'} "
                    f"than in {path}, wanted the same: both fill the table raw.{name}. Make them "
                    "alike, or name one of them otherwise"
                )


def _budget(pipeline: Pipeline, folder: Path) -> None:
    """Hold the budget of false pages against what its owner states in other pipelines."""
    ours = pipeline.monitoring.alarms
    for path, other in _others(pipeline, folder):
        theirs = other.monitoring.alarms
        alike = isclose(ours.false_pages * theirs.days, theirs.false_pages * ours.days)
        if other.owner == pipeline.owner and not alike:
            raise ConfigError(
                f"monitoring.alarms: came {ours.false_pages:g} false pages in {ours.days:g} days, "
                f"wanted {theirs.false_pages:g} in {theirs.days:g} as in {path}: owner "
                f"{pipeline.owner!r} has one budget, which all of their products share. Make them "
                "alike, or name another owner in one of them"
            )


def _lake(pipeline: Pipeline, environment: Environment) -> None:
    """Hold the sources against their tables, where there are any: not every change goes in place.

    Raises:
        ConfigError: A table cannot take on what is declared; a line each.
        BackendError: The lake's catalog does not answer.
    """
    from sqlalchemy import make_url

    from ml_tasks.io import evolution
    from ml_tasks.io.lake import Lake
    from ml_tasks.sources.schema import raw_schema

    url = make_url(environment.catalog)
    if url.get_backend_name() == "sqlite" and not Path(url.database or "").is_file():
        return
    lake, faults = Lake(environment), []
    for name, source in pipeline.sources.items():
        try:
            table = lake.find(f"raw.{name}")
            if table is not None:
                evolution.changes(table, raw_schema(source), source.renamed_from)
        except BackendError:
            return  # a server that does not run yet holds no table against us
        except ConfigError as fault:
            faults += [f"sources.{name}: {line}" for line in str(fault).splitlines()]
    if faults:
        raise ConfigError("\n".join(faults))


def _metric(pipeline: Pipeline) -> None:
    from ml_tasks.training.bootstrap import MEASURED

    chosen, known = pipeline.evaluation.metric, MEASURED[pipeline.label.task]
    if chosen not in known:
        raise ConfigError(f"evaluation.metric: came {chosen!r}, wanted one of {', '.join(known)}")


def _expectations(pipeline: Pipeline) -> None:
    from ml_tasks.io import expectations

    for name, wanted in pipeline.validation.expectations.items():
        expectations.suite_of(wanted, list(pipeline.sources[name].columns), name)


def _resources(pipeline: Pipeline) -> None:
    known = {"default", *task_names()}
    if unknown := sorted(set(pipeline.resources) - known):
        raise ConfigError(f"resources: came {unknown}, wanted some of {sorted(known)}")


def _columns(pipeline: Pipeline) -> None:
    """Hold what drift tests are to look at against what the model takes in."""
    from ml_tasks.io import features

    if not any(drift.columns for drift in pipeline.monitoring.drift):
        return
    known = {
        *pipeline.features.columns,
        *features.columns(features.refs(pipeline.features.service)),
    }
    for drift in pipeline.monitoring.drift:
        if unknown := sorted(set(drift.columns) - known):
            raise ConfigError(
                f"monitoring.drift {drift.test}: came columns {unknown}, wanted some of "
                f"{sorted(known)}"
            )


def _service(pipeline: Pipeline) -> None:
    from ml_tasks.io import features

    refs = features.refs(pipeline.features.service)
    told, where = features.told(refs), f"features.service {pipeline.features.service}"
    columns = pipeline.sources[pipeline.label.source].columns
    given = {*columns, *pipeline.features.keys, "asked_at", "event_time"}
    if lacking := sorted(set(told) - given):
        raise ConfigError(
            f"{where}: it is asked by {lacking}, wanted them among the columns of "
            f"{pipeline.label.source} or in features.keys"
        )
    if absent := sorted(set(features.raw_sources(refs)) - set(pipeline.sources)):
        raise ConfigError(
            f"{where}: its views are derived from {absent}, wanted them among sources; came "
            f"{sorted(pipeline.sources)}"
        )


def _expressions(pipeline: Pipeline) -> None:
    """Evaluate every SQL expression over no rows: DuckDB names what it does not know."""
    import pyarrow as pa

    from ml_tasks.io.engine import evaluate
    from ml_tasks.sources.schema import arrow_type

    source = pipeline.sources[pipeline.label.source]
    fields = [(name, arrow_type(kind)) for name, kind in source.columns.items()]
    found = evaluate(
        pa.schema(fields).empty_table(),
        {
            "label.expression": pipeline.label.expression,
            **{f"features.keys.{name}": sql for name, sql in pipeline.features.keys.items()},
            **{f"evaluation.segments.{n}": s for n, s in pipeline.evaluation.segments.items()},
        },
    )
    is_a = pa.types
    for one in found.schema:
        number = (
            is_a.is_integer(one.type) or is_a.is_floating(one.type) or is_a.is_decimal(one.type)
        )
        if one.name == "label.expression" and not (number or is_a.is_boolean(one.type)):
            raise ConfigError(f"{one.name}: came {one.type}, wanted a number or a truth value")
        if is_a.is_nested(one.type) or is_a.is_interval(one.type) or is_a.is_duration(one.type):
            raise ConfigError(f"{one.name}: came {one.type}, wanted a text, number, time or bool")
