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

    A result that stands on an earlier attempt than the latest is left out: the run was cleared and
    has not come so far again. Clocks say nothing of that, they may be set back between two tasks.
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
    """Tell whether a task was given the latest result of each task that it stands on."""
    for need in step(task).needs:
        given = latest[task].inputs.get(need)
        if given is None or need not in latest:
            continue
        if not given.endswith(f"/{need}/{latest[need].attempt}/result.json"):
            return False
        if not _stands(need, latest):
            return False
    return True


def attempts(environment: Environment, pipeline: str, run: str, task: str) -> int:
    """Give the number of a task's latest attempt in a run; 0 where there is none."""
    folder = f"{root(environment, pipeline, run)}/{task}/"
    places = [o.uri.removeprefix(folder).split("/")[0] for o in objects.find(folder)]
    return max((int(place) for place in places if place.isdigit()), default=0)
