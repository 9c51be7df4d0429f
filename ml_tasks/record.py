"""Writes a run and its tasks to MLflow from their results, and closes what is open."""

from __future__ import annotations

import json
import logging
import math
import re
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from ml_tasks.config import load_prices
from ml_tasks.errors import ExitCode
from ml_tasks.flow import FLOWS, step
from ml_tasks.io import objects, runs, source, spent
from ml_tasks.io.control import Control
from ml_tasks.io.registry import Registry
from ml_tasks.io.triggers import DONE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml_tasks.config import Pipeline
    from ml_tasks.context import Context
    from ml_tasks.io.costs import Cost
    from ml_tasks.io.runs import Try
    from ml_tasks.result import Result

log = logging.getLogger(__name__)


def flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Give nested values with dotted names."""
    for name, value in values.items():
        if isinstance(value, dict):
            yield from flat(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def numbers(values: Mapping[str, Any]) -> dict[str, float]:
    """Give the finite numbers among nested values, with dotted names that MLflow takes."""
    return {
        re.sub(r"[^\w\-. :/]", "_", name): float(value)
        for name, value in flat(values)
        if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
    }


def faulty(result: Result) -> bool:
    """Tell whether a task failed; to have had nothing to do is no failure."""
    return result.error is not None and result.error.exit_code != ExitCode.SKIP


def killed_task(results: Mapping[str, Result]) -> str | None:
    """Give the task that ended without a result, killed before it could write one, if one did."""
    if any(result.error is not None for result in results.values()):
        return None
    flows = ([s.task for s in flow if not s.teardown] for flow in FLOWS.values())
    wanted = next((flow for flow in flows if results.keys() & set(flow)), [])
    # What others stand on has ended, or was no task yet when they ran.
    stood_on = {need for task in results for need in step(task).needs}
    return next((task for task in wanted if task not in {*results, *stood_on}), None)


def may_resume(results: Mapping[str, Result]) -> bool:
    """Tell whether a run may go on: a task was killed, or ended by what another try may mend."""
    own = {task: result for task, result in results.items() if task != "record"}
    faults = [result.error.exit_code for result in own.values() if result.error is not None]
    return killed_task(own) is not None or not {ExitCode.CRASH, ExitCode.RETRY}.isdisjoint(faults)


def outcome(results: Mapping[str, Result]) -> str:
    """Say in a line what became of a run."""
    if killed := killed_task(results):
        return f"{killed}: it was killed and left no result"
    for task, result in results.items():
        if result.error is not None:
            prefix = f"{task}: " if faulty(result) else ""
            return f"{prefix}{result.error.message}"
    promoted = results.get("promote")
    if promoted is None:
        return "ended before promotion"
    return f"promoted version {promoted.values['version']}"


def tell(control: Control, trigger: str, said: str) -> None:
    """Let the trigger ledger say what became of the training; a rollback's word on it stays."""
    known = control.trigger(trigger)
    if known.state != DONE or not (known.outcome or "").startswith(said):
        control.finish(trigger, said)


def run(pipeline: Pipeline, context: Context) -> Result:
    """Record what the tasks of this run left; the same again changes nothing.

    Control comes first, so that the ledger does not wait for MLflow; last MLflow's alias is set to
    the head, in case a promotion was killed between the two.
    """
    tries = [
        one
        for one in runs.tries(context.environment, context.pipeline, context.run)
        if one.task != context.task
    ]
    results = runs.latest(tries)
    control = Control(context.environment.control)
    control.migrate()
    claimed = results.get("claim")
    if claimed is not None and "trigger" in claimed.values:
        tell(control, claimed.values["trigger"], outcome(results))
    costs = _charged(control, pipeline, context, tries)
    registry = Registry(context.environment, context.pipeline)
    times = [result.started for result in results.values() if result.started is not None]
    parent = registry.run(
        context.run,
        tags={"window": str(context.window or "")},
        started=min(times, default=None),
    )
    for task, result in results.items():
        _record_task(registry, context, result, [cost for cost in costs if cost.task == task])
    params = {
        **dict(flat(pipeline.model_dump(mode="json", include={"training", "split", "label"}))),
        "commit": source.commit(context.environment),
        "lock": source.lock(),
        **({"currency": costs[-1].currency} if costs else {}),
    }
    registry.log(parent, params=params, metrics=_summary(results, costs))
    made = results["assemble"].outputs.get("set") if "assemble" in results else None
    if made is not None and made.uri is not None:
        registry.used(parent, name="set", digest=made.content_hash, uri=made.uri)
    failed = any(faulty(result) for result in results.values()) or killed_task(results) is not None
    registry.end(parent, failed=failed)
    registry.follow(control)
    log.info("%s tasks recorded under MLflow run %s", len(results), parent)
    return context.result(
        values={"mlflow_run": parent, "tasks": sorted(results), "failed": failed},
    )


def _charged(
    control: Control, pipeline: Pipeline, context: Context, tries: Sequence[Try]
) -> list[Cost]:
    """Write what the attempts cost into control; give what stands there."""
    prices = load_prices(context.environment)
    control.charge(spent.cost(pipeline, context.run, one, prices) for one in tries)
    return control.costs(pipeline=context.pipeline, run=context.run)


def _record_task(
    registry: Registry, context: Context, result: Result, costs: Sequence[Cost]
) -> None:
    identity = registry.run(context.run, result.task, started=result.started)
    # A resumed attempt measured its use from where it went on; its history is whole.
    told = (_object(result, name) for name in ("history", "usage"))
    registry.log(
        identity,
        params={
            "attempt": result.attempt,
            "window": str(result.window or ""),
            **{f"hash.{name}": output.content_hash for name, output in result.outputs.items()},
            **{f"snapshot.{n}": o.snapshot for n, o in result.outputs.items() if o.snapshot},
        },
        metrics={
            **numbers({"values": result.values}),
            **numbers({"resources": _used(costs)}),
            "cost": sum(cost.amount for cost in costs),
        },
        history=[row for rows in told if rows for row in json.loads(rows)],
    )
    for name, file in (("curves", "curves.png"), ("data_docs", "data_docs.html")):
        if data := _object(result, name) or _left(context, result, file):
            registry.attach(identity, file, data)
    registry.end(identity, failed=faulty(result), at=result.ended)


def _used(costs: Sequence[Cost]) -> dict[str, float]:
    """Give what attempts used together, killed ones among them, as it was charged.

    Of memory it is the most that one pod used; the time of an attempt is that of the process which
    came to its end.
    """
    return {
        "wall_seconds": sum(cost.wall_seconds for cost in costs),
        "cpu_seconds": sum(cost.cpu_seconds for cost in costs),
        "gpu_seconds": sum(cost.gpu_seconds for cost in costs),
        "peak_memory_mb": max((cost.peak_memory_mb for cost in costs), default=0.0),
    }


def _object(result: Result, name: str) -> bytes | None:
    output = result.outputs.get(name)
    return None if output is None or output.uri is None else objects.read_bytes(output.uri)


def _left(context: Context, result: Result, file: str) -> bytes | None:
    """Read what a failed attempt left in its folder: it handed back no outputs."""
    folder = replace(context, task=result.task, attempt=result.attempt).attempt_folder
    left = result.error is not None and objects.exists(f"{folder}/{file}")
    return objects.read_bytes(f"{folder}/{file}") if left else None


def _summary(results: Mapping[str, Result], costs: Sequence[Cost]) -> dict[str, float]:
    used = _used(costs)
    total = {
        **{f"total.{name}": used[name] for name in ("wall_seconds", "cpu_seconds", "gpu_seconds")},
        "total.cost": sum(cost.amount for cost in costs),
    }
    evaluated = results.get("evaluate")
    metrics = {} if evaluated is None else evaluated.values.get("metrics", {})
    return {**total, **numbers({"test": metrics})}
