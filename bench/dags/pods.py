"""Eight pods that do nothing, one after another, by our operator and our launcher."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from airflow.sdk import DAG, TaskGroup, chain
from ml_launch.command import Command
from ml_launch.operators import LaunchOperator

from ml_tasks import config
from ml_tasks.flow import step
from ml_tasks.io import objects
from ml_tasks.result import Result

if TYPE_CHECKING:
    from airflow.sdk import Context
    from ml_launch import Launch

    from ml_tasks.config import Environment, Pipeline

TASK = "claim"
PROGRAM = ["-c", "pass"]
PIPELINE = config.load("flight_delays")


@dataclass(frozen=True, kw_only=True, slots=True)
class Nothing(Command):
    """A task whose pod runs that program instead of ours."""

    def in_pod(self, pods: int, first: str, port: int) -> list[str]:  # noqa: ARG002
        """Give what follows `python` in the pod."""
        return PROGRAM


class NothingOperator(LaunchOperator):
    """Launches it; all else is as it is for every task."""

    def __init__(self, *, deferred: bool, **rest: Any) -> None:
        """Say where it waits: in the triggerer or in the worker."""
        super().__init__(pipeline=PIPELINE, step=step(TASK), trigger="bench", **rest)
        self.deferred, self._first = deferred, False

    def execute(self, context: Context) -> str:
        """Run it to its end."""
        self._first = True
        return super().execute(context)

    def _described(self, context: Context, pipeline: Pipeline, environment: Environment) -> Command:
        made = super()._described(context, pipeline, environment)
        # The eight are one task to the launcher, so that each is given a run of its own.
        run = f"{made.run}-{context['ti'].task_id}"
        told = {"run": run, "result": made.result.replace(f"/{made.run}/", f"/{run}/")}
        own = Nothing(**{**asdict(made), **told})
        if self._first:
            # A program that does nothing leaves none.
            result = Result(task=TASK, pipeline=made.pipeline, run=run, attempt=made.attempt)
            objects.write_result(own.result, result)
        return own

    def _defer(self, launch: Launch, until: float) -> None:
        if self.deferred:
            super()._defer(launch, until)


for deferred in (False, True):
    with DAG(
        dag_id=f"ours_{'deferred' if deferred else 'in_worker'}",
        schedule=None,
        is_paused_upon_creation=False,
    ):
        tasks = []
        for number in range(8):
            with TaskGroup(f"step{number}"):
                tasks.append(NothingOperator(deferred=deferred))
        chain(*tasks)
