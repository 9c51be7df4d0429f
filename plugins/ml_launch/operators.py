"""Airflow operators that run a pipeline's tasks; all they know of a task is its command line."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator, TriggerRule, conf
from airflow.sdk.exceptions import (
    AirflowException,
    AirflowFailException,
    AirflowSkipException,
    AirflowTaskTimeout,
)

from ml_launch import launcher
from ml_launch.command import command, slug
from ml_launch.orphan import let_go_with_parent
from ml_launch.windows import window_at
from ml_tasks import flow
from ml_tasks.config import Environment
from ml_tasks.errors import ExitCode, PerennialError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from airflow.sdk import Context

    from ml_launch import Launch
    from ml_launch.command import Command
    from ml_launch.outcome import Outcome
    from ml_tasks.config import Pipeline
    from ml_tasks.flow import Dag, Step

RETRY_SECONDS = 10
ENDED = frozenset({"success", "failed", "skipped", "upstream_failed", "removed"})
"""States of Airflow's in which a task has no process any more that counts."""


class LaunchOperator(BaseOperator):
    """Runs one task of a flow by the launcher of the environment.

    Its XCom is the address of the task's result; data never travels there.
    """

    template_fields = ("key", "trigger")

    def __init__(
        self,
        *,
        pipeline: Pipeline,
        step: Step,
        key: str | None = None,
        trigger: str | None = None,
        window_from: str | None = None,
        **rest: Any,
    ) -> None:
        """Describe the task.

        Args:
            pipeline: The product.
            step: The task's place in its flow.
            key: Partition key whose window the task works on.
            trigger: Id of the trigger that the run works for.
            window_from: Task whose result says the window.
            **rest: What every Airflow operator takes.
        """
        minutes = pipeline.resources_of(step.task).timeout_minutes or step.timeout_minutes
        super().__init__(
            task_id=step.task,
            doc_md=step.doc,
            retries=step.retries,
            retry_delay=timedelta(seconds=RETRY_SECONDS),
            execution_timeout=timedelta(minutes=minutes),
            **rest,
        )
        self.pipeline_name, self.task_name = pipeline.name, step.task
        self.needs, self.cron = step.needs, pipeline.schedule.cron
        self.last = step.teardown
        self.key, self.trigger, self.window_from = key, trigger, window_from
        self._launch: Launch | None = None
        self._command: Command
        self._environment: Environment

    def execute(self, context: Context) -> str:
        """Run the task to its end; give the address of its result.

        Where the launcher can wait elsewhere, the wait takes up no worker.
        """
        if self.last:
            self._end_others(context)
        launch = self._prepared(context)
        until = datetime.now(UTC) + (self.execution_timeout or timedelta(days=365))
        try:
            with let_go_with_parent(launch.abandon):
                self._begin(launch)
                self._defer(launch, until.timestamp())
                outcome = launch.follow(self._show)
        except AirflowTaskTimeout:
            self._stop(launch)
            raise AirflowTaskTimeout(self._too_late) from None
        return self._concluded(launch, outcome)

    def resume(self, context: Context, event: dict[str, Any], until: float) -> str:
        """Go on after a wait that took up no worker.

        Args:
            context: What Airflow says of the run.
            event: Whether the time was over, and what was seen of the task meanwhile.
            until: When it is, seconds since the epoch.
        """
        launch = self._prepared(context)
        with let_go_with_parent(launch.abandon):
            launch.recall(event.get("seen") or {})
            self._begin(launch)
            # While nobody looked it may have ended in time.
            if event["late"] and not (launch.found and launch.trigger(until) is None):
                self._stop(launch)
                raise AirflowTaskTimeout(self._too_late)
            # It may go on all the same: somebody deleted what it waited for, or a queue took its
            # turn back. That wait needs no worker either.
            self._defer(launch, until)
            outcome = launch.once(lambda _line: None)
            if outcome is None:
                self._defer(launch, until)
                outcome = launch.follow(self._show)
        return self._concluded(launch, outcome)

    def _prepared(self, context: Context) -> Launch:
        """Describe the task to its launcher: from here on it can be stopped."""
        from ml_tasks import config

        environment = self._environment = Environment()
        pipeline = config.load(self.pipeline_name, environment.pipelines)
        made = self._command = self._described(context, pipeline, environment)
        self.log.info("%s", " ".join(made.argv))
        resources = pipeline.resources_of(self.task_name)
        with _faults():
            self._launch = launcher(environment).prepare(made, resources, environment)
        return self._launch

    def _begin(self, launch: Launch) -> None:
        """Start the task, or find it where it runs already."""
        with _faults():
            launch.begin()

    def _end_others(self, context: Context) -> None:
        """End what goes on of tasks that Airflow has ended."""
        from ml_tasks import config

        environment = Environment()
        pipeline = config.load(self.pipeline_name, environment.pipelines)
        made = self._described(context, pipeline, environment)
        run, ti = context["run_id"], context["ti"]
        states = ti.get_task_states(dag_id=self.dag_id, run_ids=[run]).get(run, {})
        # One that runs beside those that failed may go on, after this task as before it.
        over = [t for t in self.get_flat_relative_ids(upstream=True) if states.get(t) in ENDED]
        if not over:
            return
        try:
            launcher(environment).end_others(made, over, environment)
        except PerennialError as fault:
            self.log.warning("what may go on of other tasks was not ended: %s", fault)

    def _described(self, context: Context, pipeline: Pipeline, environment: Environment) -> Command:
        """Give what is to be run in this attempt."""
        return command(
            environment,
            pipeline.name,
            flow.step(self.task_name),
            run=slug(context["run_id"]),
            attempt=context["ti"].try_number,
            window=self._window(context),
            trigger=self.trigger,
            inputs={need: self._pulled(context, need) for need in self.needs},
            processes=pipeline.training.processes,
        )

    def _defer(self, launch: Launch, until: float) -> None:
        """Wait in the triggerer, where Airflow wants that and the launcher can."""
        wanted = conf.getboolean("operators", "default_deferrable", fallback=False)
        trigger = launch.trigger(until) if wanted else None
        if trigger is not None:
            self.defer(trigger=trigger, method_name="resume", kwargs={"until": until})

    def _concluded(self, launch: Launch, outcome: Outcome) -> str:
        if outcome.succeeded:
            return launch.result
        if outcome.code == ExitCode.SKIP:
            self.log.info("skipped: %s", outcome.message)
            raise AirflowSkipException(outcome.message)
        self._leave(outcome)
        raise (AirflowFailException if outcome.hopeless else AirflowException)(outcome.message)

    @property
    def _too_late(self) -> str:
        more = f"resources.{self.task_name}.timeout_minutes in the YAML gives it more"
        return f"it took longer than {self.execution_timeout}; {more}"

    def _stop(self, launch: Launch) -> None:
        launch.stop(self._too_late)
        try:
            self._leave(launch.follow(self._show))
        except AirflowTaskTimeout:
            # This process has the task's time once more, and its pods' grace may be longer.
            self.log.warning("no capsule: the pods took longer to end than the task may take")

    def _show(self, line: str) -> None:
        self.log.info("%s", line)

    def _leave(self, outcome: Outcome) -> None:
        """Leave a capsule; without one the task's own fault still counts."""
        from ml_launch import capsule

        try:
            uri = capsule.write(self._command, outcome, self._environment)
        except PerennialError as fault:
            self.log.error("no capsule: %s", fault)
        else:
            self.log.error("to enter this step again: perennial repro %s", uri)

    def on_kill(self) -> None:
        """End the task with all that it started."""
        if self._launch is not None:
            self._launch.stop()

    def _pulled(self, context: Context, task: str) -> str:
        found = context["ti"].xcom_pull(task_ids=task)
        if not isinstance(found, str):
            raise AirflowFailException(
                f"task {task!r} left no result: came {found!r}; clear it, so that it runs again"
            )
        return found

    def _window(self, context: Context) -> str | None:
        if self.key is not None:
            if self.key in ("", "None"):
                raise AirflowFailException(
                    "the run has no partition key, wanted the window's first day: start it by a "
                    "backfill, or give the partition key in the form"
                )
            try:
                return window_at(self.cron, self.key)
            except ValueError as fault:
                raise AirflowFailException(str(fault)) from fault
        if self.window_from is None:
            return None
        from ml_tasks.io import objects

        uri = context["ti"].xcom_pull(task_ids=self.window_from)
        window = objects.read_result(uri).window if isinstance(uri, str) else None
        return None if window is None else str(window)


@contextmanager
def _faults() -> Iterator[None]:
    """Say our faults in Airflow's words: whether another try can help."""
    try:
        yield
    except PerennialError as fault:
        final = fault.exit_code == ExitCode.CONFIG
        raise (AirflowFailException if final else AirflowException)(str(fault)) from None


def wire(dag: Dag, tasks: Mapping[str, BaseOperator]) -> None:
    """Put a DAG's tasks into the order of its flow; the last one runs in any case.

    One that does not run after what was skipped is no teardown for Airflow: another task that
    nobody waits for has to tell whether the run failed.
    """
    for task, before in flow.after(dag).items():
        step = flow.step(task, dag)
        if step.unless_skipped:
            tasks[task].trigger_rule = TriggerRule.NONE_SKIPPED
        elif step.teardown:
            tasks[task].as_teardown()
        for one in before:
            tasks[one].set_downstream(tasks[task])
