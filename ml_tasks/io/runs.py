"""What the tasks of a run left, and where."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_tasks.flow import step
from ml_tasks.io import objects
from ml_tasks.result import MEASURED, RESULT, Result, Usage

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ml_tasks.config import Environment


@dataclass(slots=True)
class Try:
    """One attempt of a task; what was killed has no result."""

    task: str
    attempt: int
    result: Result | None = None
    usage: Usage | None = None
    """What its launcher saw, where that says more than the result."""


def tries(environment: Environment, pipeline: str, run: str) -> list[Try]:
    """Give all attempts of a run's tasks of which something is known."""
    found: dict[tuple[str, str], Try] = {}
    for one in objects.find(environment.run_folder(pipeline, run)):
        task, attempt, name = one.uri.split("/")[-3:]
        if name not in (RESULT, MEASURED):
            continue
        own = found.setdefault((task, attempt), Try(task, int(attempt)))
        if name == RESULT:
            own.result = objects.read_result(one.uri)
        else:
            own.usage = Usage.model_validate_json(objects.read_bytes(one.uri))
    return list(found.values())


def results(environment: Environment, pipeline: str, run: str) -> dict[str, Result]:
    """Give each task's latest result in a run."""
    return latest(tries(environment, pipeline, run))


def latest(made: Iterable[Try]) -> dict[str, Result]:
    """Give each task's result of its latest attempt, in the order in which they began.

    A result that stands on an earlier attempt than the latest is left out: the run was cleared and
    has not come so far again. Clocks say nothing of that, they may be set back between two tasks.
    """
    found = [one.result for one in made if one.result is not None]
    newest: dict[str, Result] = {}
    for result in sorted(found, key=lambda r: (str(r.started), r.attempt)):
        known = newest.get(result.task)
        if known is None or result.attempt >= known.attempt:
            newest[result.task] = result
    return {task: result for task, result in newest.items() if _stands(task, newest)}


def _stands(task: str, latest: Mapping[str, Result]) -> bool:
    """Tell whether a task was given the latest result of each task that it stands on."""
    for need in step(task).needs:
        given = latest[task].inputs.get(need)
        if given is None or need not in latest:
            continue
        if not given.endswith(f"/{need}/{latest[need].attempt}/{RESULT}"):
            return False
        if not _stands(need, latest):
            return False
    return True


def attempts(environment: Environment, pipeline: str, run: str, task: str) -> int:
    """Give the number of a task's latest attempt in a run; 0 where there is none."""
    folder = f"{environment.run_folder(pipeline, run)}/{task}/"
    places = [o.uri.removeprefix(folder).split("/")[0] for o in objects.find(folder)]
    return max((int(place) for place in places if place.isdigit()), default=0)
