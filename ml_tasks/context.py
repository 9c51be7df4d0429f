"""What a task is told: the same words for every task and every launcher."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from ml_tasks.errors import ConfigError
from ml_tasks.result import Result

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_tasks.config import Environment
    from ml_tasks.result import Output, Window


@dataclass(frozen=True, slots=True)
class Turn:
    """The place of a process among those that began to work on one attempt."""

    task: str
    """Pipeline, run and task."""
    attempt: int
    number: int
    """It grows with each that begins: what the cluster takes away is begun again."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Context:
    """One attempt of one task."""

    task: str
    pipeline: str
    run: str
    """Slug of the run: safe in paths."""
    attempt: int
    environment: Environment
    window: Window | None = None
    trigger: str | None = None
    """Id of the trigger that a training run works for."""
    inputs: dict[str, Result] = field(default_factory=dict)
    """Results of the tasks that this one needs, by task."""
    answer: str | None = None
    """Where its own result goes; `None` for the usual place in its folder."""
    turn: Turn | None = None
    """Which process of the attempt this is; `None` where that was never asked."""

    def __post_init__(self) -> None:
        """Hold the window against those of what this task needs.

        Raises:
            ConfigError: A task before it worked on another one.
        """
        for task, before in self.inputs.items():
            if None not in (self.window, before.window) and before.window != self.window:
                raise ConfigError(
                    f"{self.task}: came window {self.window}, wanted that of its {task}, "
                    f"{before.window} in run {before.run}; for another window give another run, or "
                    f"let {task} run again"
                )

    @property
    def holder(self) -> str:
        """Who holds this task's leases; the attempt is told apart from it.

        Runs of two products have one name where their schedules are the same.
        """
        return f"{self.pipeline}/{self.who}"

    @property
    def who(self) -> str:
        """Run and task, as the pipeline's own log names them."""
        return f"{self.run}/{self.task}"

    @property
    def folder(self) -> str:
        """Root of the objects of this process: one that began later writes none over them."""
        if self.turn is None or self.turn.number == 1:
            return self.attempt_folder
        return f"{self.attempt_folder}/{self.turn.number}"

    @property
    def attempt_folder(self) -> str:
        """Root of the objects of this attempt."""
        run = self.environment.run_folder(self.pipeline, self.run)
        return f"{run}/{self.task}/{self.attempt}"

    def required_window(self) -> Window:
        """Give the window.

        Raises:
            ConfigError: The task was started without one.
        """
        if self.window is None:
            raise ConfigError(f"{self.task}: came no window, wanted --window START/END")
        return self.window

    def output(self, task: str, name: str) -> Output:
        """Give an output of a task that this one needs.

        Raises:
            ConfigError: That task's result, or that output in it, is not among the inputs.
        """
        try:
            return self.inputs[task].outputs[name]
        except KeyError:
            has = {t: sorted(r.outputs) for t, r in self.inputs.items()}
            raise ConfigError(
                f"{self.task}: came inputs {has}, wanted output {name!r} of {task!r}"
            ) from None

    def result(
        self,
        *,
        outputs: Mapping[str, Output] | None = None,
        values: Mapping[str, Any] | None = None,
        window: Window | None = None,
    ) -> Result:
        """Give what this attempt hands back; `window` where it was not started for that one."""
        return Result(
            task=self.task,
            pipeline=self.pipeline,
            run=self.run,
            attempt=self.attempt,
            window=window or self.window,
            outputs=dict(outputs or {}),
            values=dict(values or {}),
        )
