"""A task's command line: the same wherever it runs."""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_tasks.result import RESULT

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_tasks.config import Environment
    from ml_tasks.flow import Step

LONGEST_RUN = 120


@dataclass(frozen=True, kw_only=True, slots=True)
class Command:
    """One attempt of one task."""

    task: str
    pipeline: str
    run: str
    attempt: int
    result: str
    """Where its result goes."""
    arguments: tuple[str, ...]
    """What follows `python -m ml_tasks`."""
    processes: int | None = None
    """How many ranks it has; `None` for a task without."""

    @property
    def argv(self) -> list[str]:
        """The whole command line."""
        if self.processes is None:
            return [sys.executable, "-m", "ml_tasks", *self.arguments]
        return [sys.executable, *self._torchrun("--standalone", self.processes)]

    def in_pod(self, pods: int, first: str, port: int) -> list[str]:
        """Give what follows `python` in each of the pods that share the processes.

        Args:
            pods: How many there are.
            first: Name by which the others reach the one with index 0.
            port: The port on which it listens.
        """
        if self.processes is None:
            return ["-m", "ml_tasks", *self.arguments]
        if pods == 1:
            return self._torchrun("--standalone", self.processes)
        return self._torchrun(
            f"--nnodes={pods}", self.processes // pods, "--node-rank=$(JOB_COMPLETION_INDEX)",
            f"--master-addr={first}", f"--master-port={port}",
        )  # fmt: skip

    def _torchrun(self, nodes: str, each: int, *more: str) -> list[str]:
        # Without the two dashes torchrun takes `--run` for a prefix of its own options.
        return [
            "-m", "torch.distributed.run", nodes, f"--nproc-per-node={each}", *more, "-m", "--",
            "ml_tasks", *self.arguments,
        ]  # fmt: skip

    def is_in(self, argv: Sequence[str]) -> bool:
        """Tell whether another attempt's command line asks for the same work."""
        theirs = argv[argv.index("ml_tasks") + 1 :] if "ml_tasks" in argv else ()
        return _lasting(theirs) == _lasting(self.arguments)

    def result_of(self, attempt: int) -> str:
        """Give where another attempt of this task puts its result."""
        return self.result.replace(f"/{self.attempt}/{RESULT}", f"/{attempt}/{RESULT}")


def command(
    environment: Environment,
    pipeline: str,
    step: Step,
    *,
    run: str,
    attempt: int,
    window: str | None = None,
    trigger: str | None = None,
    inputs: Mapping[str, str],
    processes: int = 1,
) -> Command:
    """Make a task's command.

    Args:
        environment: Says where results lie.
        pipeline: Name of the pipeline.
        step: The task's place in its flow.
        run: Name of the run, in a form that is safe in paths.
        attempt: Number of the task's try.
        window: `START/END`, for tasks that have one.
        trigger: Id of the trigger that a training run works for.
        inputs: Addresses of the results of needed tasks.
        processes: How many processes a distributed task is given.
    """
    result = f"{environment.run_folder(pipeline, run)}/{step.task}/{attempt}/{RESULT}"
    arguments = [step.task, "--pipeline", pipeline, "--run", run, "--attempt", str(attempt)]
    if window:
        arguments += ["--window", window]
    if trigger:
        arguments += ["--trigger", trigger]
    for task, uri in inputs.items():
        arguments += ["--input", f"{task}={uri}"]
    return Command(
        task=step.task,
        pipeline=pipeline,
        run=run,
        attempt=attempt,
        result=result,
        arguments=(*arguments, "--result", result),
        processes=processes if step.distributed else None,
    )


def _lasting(arguments: Sequence[str]) -> list[str]:
    """Leave out what is another one in each attempt."""
    flags = ("", *arguments)
    return [
        one
        for before, one in zip(flags, arguments, strict=False)
        if not {before, one} & {"--attempt", "--result"}
    ]


def slug(run_id: str) -> str:
    """Give a run's id in a form that is safe in paths and labels.

    >>> slug("manual__2013-01-01T00:00:00+00:00")
    'manual__2013-01-01T00-00-00-00-00'
    """
    return re.sub(r"[^A-Za-z0-9_.-]+", "-", run_id).strip("-.")[:LONGEST_RUN]
