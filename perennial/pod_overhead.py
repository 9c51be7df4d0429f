"""What it adds to tasks that each runs in a pod: as Airflow saw them, less what they did."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from statistics import median
from typing import TYPE_CHECKING, Any

from ml_launch.command import slug

from ml_tasks.flow import FLOWS
from ml_tasks.io import runs
from perennial import console

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ml_tasks.config import Environment
    from ml_tasks.flow import Dag
    from ml_tasks.result import Result
    from perennial.airflow_api import Airflow

DAGS: tuple[Dag, ...] = ("ingestion", "training")
"""Which flows are looked at: those that make a champion."""
COLUMNS = ("task", "times", "Airflow saw", "own code", "pod adds", "before", "after")


@dataclass(frozen=True, slots=True)
class Spell:
    """One try of a task, in seconds."""

    task: str
    before: float
    """From the moment at which Airflow began it to the first line of its own code."""
    inside: float
    """What its own code took."""
    after: float
    """From its last line to the moment at which Airflow saw it done."""

    @property
    def added(self) -> float:
        """What was not its own code."""
        return self.before + self.after


def show(airflow: Airflow, environment: Environment, pipeline: str) -> None:
    """Show what pods add to each task of the runs that ended well, in the median."""
    found = of_pipeline(airflow, environment, pipeline)
    if not found:
        return
    console.table("What a pod adds, seconds in the median", COLUMNS, rows(found))
    console.say(
        f"a pod adds {median(one.added for one in found):.1f} s to a task in the median of "
        f"{len(found)}: {median(one.before for one in found):.1f} s before its own code begins, "
        f"{median(one.after for one in found):.1f} s after it ends"
    )


def of_pipeline(airflow: Airflow, environment: Environment, pipeline: str) -> list[Spell]:
    """Give the tasks of a pipeline's newest runs that ended well."""
    found: list[Spell] = []
    for flow in DAGS:
        dag = f"{pipeline}__{flow}"
        for run in airflow.runs(dag):
            if run["state"] != "success":
                continue
            made = runs.tries(environment, pipeline, slug(run["dag_run_id"]))
            known = {(one.task, one.attempt): one.result for one in made if one.result}
            found += of_run(airflow.tasks(dag, run["dag_run_id"]), known)
    return found


def of_run(
    instances: Iterable[Mapping[str, Any]], results: Mapping[tuple[str, int], Result]
) -> list[Spell]:
    """Hold task instances of Airflow's against the results of the same tries.

    Args:
        instances: As Airflow's API gives them.
        results: By task and attempt.
    """
    found = []
    for one in instances:
        # A try that took up what another had begun has no result of its own.
        result = results.get((one["task_id"], one["try_number"]))
        if one["state"] != "success" or result is None:
            continue
        if result.started is None or result.ended is None:
            continue
        began, ended = _moment(one["start_date"]), _moment(one["end_date"])
        found.append(
            Spell(
                one["task_id"],
                (result.started - began).total_seconds(),
                (result.ended - result.started).total_seconds(),
                (ended - result.ended).total_seconds(),
            )
        )
    return found


def rows(found: Sequence[Spell]) -> list[tuple[object, ...]]:
    """Give a row for each task, in the order of the flows."""
    made: list[tuple[object, ...]] = []
    for task in dict.fromkeys(step.task for flow in DAGS for step in FLOWS[flow]):
        own = [one for one in found if one.task == task]
        if not own:
            continue
        seconds = (
            median(one.added + one.inside for one in own),
            median(one.inside for one in own),
            median(one.added for one in own),
            median(one.before for one in own),
            median(one.after for one in own),
        )
        made.append((task, len(own), *(f"{value:.1f}" for value in seconds)))
    return made


def _moment(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)
