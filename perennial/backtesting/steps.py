"""The platform's tasks in this process, each once: what was made before is read."""

from __future__ import annotations

import importlib
import json
from typing import TYPE_CHECKING

from ml_tasks.context import Context
from ml_tasks.io import objects, runs
from ml_tasks.io.content import bytes_hash
from ml_tasks.result import RESULT

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.result import Result, Window

SHORT = 12


def key(*told: object) -> str:
    """Give a short hash of what something stands on."""
    return bytes_hash(json.dumps(told, sort_keys=True, default=str).encode())[:SHORT]


def found(environment: Environment, pipeline: str, task: str, run: str) -> Result | None:
    """Give the result that a run's task has left, if it has."""
    last = runs.attempts(environment, pipeline, run, task)
    uri = f"{environment.run_folder(pipeline, run)}/{task}/{last}/{RESULT}"
    return objects.read_result(uri) if objects.exists(uri) else None


def once(
    environment: Environment,
    pipeline: Pipeline,
    task: str,
    *,
    run: str,
    window: Window,
    needs: Mapping[str, Result],
    does: Callable[[Pipeline, Context], Result] | None = None,
) -> Result:
    """Give a task's result; where a run has none yet, it is the next attempt's.

    Args:
        environment: The place.
        pipeline: The product.
        task: Which.
        run: Named after all that the task stands on.
        window: What it works on.
        needs: Results of the tasks that it needs.
        does: What is done; all that the task does, if it is not given.
    """
    if (there := found(environment, pipeline.name, task, run)) is not None:
        return there
    context = Context(
        task=task,
        pipeline=pipeline.name,
        run=run,
        attempt=runs.attempts(environment, pipeline.name, run, task) + 1,
        environment=environment,
        window=window,
        inputs=dict(needs),
    )
    does = does or importlib.import_module(f"ml_tasks.{task}").run
    result: Result = does(pipeline, context)
    objects.write_result(f"{context.folder}/{RESULT}", result)
    return result
