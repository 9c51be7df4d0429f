"""Which tasks there are and which needs which: the one table behind DAGs and the runner."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Dag = Literal["ingestion", "training", "monitoring"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Step:
    """One task's place in a flow."""

    task: str
    needs: tuple[str, ...] = ()
    """Tasks of the same flow whose results this one reads."""
    distributed: bool = False
    """Start it under torchrun, one process or many."""
    teardown: bool = False
    """Run it at the end in any case; it never turns a failed run into a successful one."""
    unless_skipped: bool = False
    """Not even at the end where what came before was skipped: there is nothing to say of it."""
    retries: int = 2
    timeout_minutes: int = 30
    doc: str = ""
    """One sentence for people: shown in the Airflow UI."""


FLOWS: dict[Dag, tuple[Step, ...]] = {
    "ingestion": (
        Step(task="ingest", doc="Read the window from its source and stage it apart."),
        Step(
            task="validate",
            needs=("ingest",),
            doc="Judge the staged rows; publish the good ones, quarantine the bad ones.",
        ),
        Step(
            task="derive",
            needs=("validate",),
            doc="Derive the feature tables of the window from the raw tables.",
        ),
        Step(
            task="materialise",
            needs=("derive",),
            doc="Bring the newest features online and read a sample back.",
        ),
        Step(task="record", teardown=True, doc="Write the run and its tasks to MLflow."),
    ),
    "training": (
        Step(task="claim", doc="Claim the trigger, or skip when somebody else has it."),
        Step(
            task="assemble",
            needs=("claim",),
            doc="Join labels and features as they were known at each moment.",
        ),
        Step(
            task="prove",
            needs=("assemble",),
            doc="Hold each cell of the set against what was known when its row was asked about.",
        ),
        Step(
            task="train",
            needs=("assemble",),
            distributed=True,
            timeout_minutes=240,
            doc="Train the model under torchrun; resume from the last checkpoint.",
        ),
        Step(
            task="baseline",
            needs=("assemble",),
            doc="Fit the plain models that the candidate has to beat; predict the test range.",
        ),
        Step(
            task="evaluate",
            needs=("assemble", "prove", "train", "baseline"),
            doc="Measure candidate, champion and baselines on the test range.",
        ),
        Step(
            task="judge",
            needs=("evaluate",),
            doc="Hold the measurements against the gates and write the verdict.",
        ),
        Step(
            task="reference",
            needs=("assemble", "train", "judge"),
            doc="Fit what a model that passed is watched with, on rows that it was not fitted on.",
        ),
        Step(
            task="register",
            needs=("assemble", "train", "judge", "reference"),
            doc="Register the model version; refuses without a passed verdict.",
        ),
        Step(
            task="promote",
            needs=("judge", "register"),
            doc="Make the version champion if the champion is still the one it was judged against.",
        ),
        Step(task="record", teardown=True, doc="Write the run and its tasks to MLflow."),
    ),
    "monitoring": (
        Step(task="score", doc="Predict the window's rows with the champion."),
        Step(
            task="monitor",
            needs=("score",),
            doc="Measure what is known of the truth, and how far each day lies from the reference.",
        ),
        Step(
            task="decide",
            needs=("monitor",),
            doc="Hold the policies against what was found, and write the trigger if one is due.",
        ),
        Step(
            task="record",
            teardown=True,
            unless_skipped=True,
            doc="Write the run and its tasks to MLflow.",
        ),
    ),
}


def step(task: str, dag: Dag | None = None) -> Step:
    """Give a task's step; `dag` is needed only where two flows share the name.

    Raises:
        KeyError: No flow has such a task.
    """
    flows = [FLOWS[dag]] if dag else list(FLOWS.values())
    for found in (s for flow in flows for s in flow if s.task == task):
        return found
    raise KeyError(task)


def after(dag: Dag) -> dict[str, tuple[str, ...]]:
    """Give the tasks that each task comes right after.

    A need that another need implies is left out: the same order in fewer arrows. What runs at the
    end comes after all that nobody else waits for, and after all that runs beside another task:
    where one of two fails the other goes on, and what waits for both is over at once.
    """
    steps = {s.task: s for s in FLOWS[dag]}
    behind: dict[str, set[str]] = {}
    for s in steps.values():
        behind[s.task] = {*s.needs, *(far for need in s.needs for far in behind[need])}
    direct = {
        s.task: tuple(n for n in s.needs if not any(n in behind[other] for other in s.needs))
        for s in steps.values()
    }
    awaited = {need for needs in direct.values() for need in needs}
    works = [s.task for s in steps.values() if not s.teardown]
    ends = tuple(
        task
        for task in works
        if task not in awaited
        or any(
            other != task and other not in behind[task] and task not in behind[other]
            for other in works
        )
    )
    return {task: ends if steps[task].teardown else needs for task, needs in direct.items()}


def task_names() -> tuple[str, ...]:
    """Give every task's name once, in the order of the flows."""
    return tuple(dict.fromkeys(s.task for flow in FLOWS.values() for s in flow))
