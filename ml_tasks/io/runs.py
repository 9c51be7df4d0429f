"""What the tasks of a run left, and where."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.flow import step
from ml_tasks.io import objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_tasks.config import Environment
    from ml_tasks.result import Result


def root(environment: Environment, pipeline: str, run: str) -> str:
    """Give the address below which a run's objects lie, `<task>/<attempt>/…`."""
    return f"{environment.objects_root}/runs/{pipeline}/{run}"


def results(environment: Environment, pipeline: str, run: str) -> dict[str, Result]:
    """Give each task's result of its latest attempt, in the order in which they began.

    A result that is older than one it stands on is left out: the run was cleared and has not come
    so far again.
    """
    found = [
        objects.read_result(o.uri)
        for o in objects.find(root(environment, pipeline, run))
        if o.uri.endswith("/result.json")
    ]
    latest: dict[str, Result] = {}
    for result in sorted(found, key=lambda r: (str(r.started), r.attempt)):
        known = latest.get(result.task)
        if known is None or result.attempt >= known.attempt:
            latest[result.task] = result
    return {task: result for task, result in latest.items() if _stands(task, latest)}


def _stands(task: str, latest: Mapping[str, Result]) -> bool:
    """Tell whether a task's result is newer than all results that it stands on."""
    began = str(latest[task].started)
    needs = step(task).needs
    return all(
        need not in latest or (str(latest[need].started) <= began and _stands(need, latest))
        for need in needs
    )


def attempts(environment: Environment, pipeline: str, run: str, task: str) -> int:
    """Give the number of a task's latest attempt in a run; 0 where there is none."""
    folder = f"{root(environment, pipeline, run)}/{task}/"
    places = [o.uri.removeprefix(folder).split("/")[0] for o in objects.find(folder)]
    return max((int(place) for place in places if place.isdigit()), default=0)
