"""Runs a task as a process of this machine: a warm one where there is a warm launcher."""

from __future__ import annotations

import os
import subprocess
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Protocol

from ml_launch import measured, ranks, tree, warm_client
from ml_launch.outcome import Outcome, Tail, result_at
from ml_launch.variables import for_tasks
from ml_tasks.errors import BackendError, ExitCode

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping

    from ml_launch.command import Command
    from ml_tasks.config import Environment, TaskResources


class _Process(Protocol):
    pid: int

    @property
    def lines(self) -> Iterable[str]: ...

    def wait(self) -> int: ...


class _Fresh:
    """A new interpreter in a session of its own."""

    def __init__(self, argv: list[str], environ: Mapping[str, str]) -> None:
        self._process = subprocess.Popen(
            argv,
            env=dict(environ),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )
        self.pid = self._process.pid

    @property
    def lines(self) -> Iterable[str]:
        assert self._process.stdout is not None  # noqa: S101 - PIPE was asked for
        return self._process.stdout

    def wait(self) -> int:
        return self._process.wait()


class LocalLaunch:
    """One task as a process."""

    found = False
    """A process is never taken up from another attempt."""

    def __init__(
        self, command: Command, resources: TaskResources, environment: Environment
    ) -> None:
        """Describe it; nothing runs yet."""
        self._command, self._resources, self._environment = command, resources, environment
        self._process: _Process | None = None
        self._tail, self._stopped = Tail(), ""
        self._started, self._clock = datetime.now(UTC), time.monotonic()

    def begin(self) -> None:
        """Start it: warm where there is a warm launcher, and its ranks, if any, may be forks.

        Raises:
            BackendError: It was stopped meanwhile.
        """
        command, socket = self._command, self._environment.warm_socket
        environ = task_environment(self._resources, self._environment)
        if socket is not None and (command.processes is None or ranks.may_fork()):
            self._process = warm_client.connect(
                socket, command.arguments, environ, command.processes
            )
        if self._process is None and not self._stopped:
            self._process = _Fresh(command.argv, environ)
        if self._stopped:
            self.stop(self._stopped)
            raise BackendError(self._stopped)

    def follow(self, on_line: Callable[[str], None]) -> Outcome:
        """Hand each line of its log on, and give what became of it; after a break it goes on."""
        process = self._process
        if process is None:
            return Outcome(int(ExitCode.RETRY), None, stopped=self._stopped or "it was not begun")
        watch = tree.Watch(process.pid, self._resources.memory_gb)
        with watch:
            for line in process.lines:
                text = line.rstrip("\n")
                self._tail.add(text)
                on_line(text)
            code = process.wait()
        result = result_at(self._command.result)
        if result is None or self._command.processes is not None:
            # Of a killed task nobody else tells, of several processes the result tells one.
            use = measured.tree(time.monotonic() - self._clock, watch.curve)
            measured.write(self._command.result, self._started, {str(process.pid): use})
        return Outcome(
            exit_code=code,
            result=result,
            tail=tuple(self._tail.lines),
            curve=tuple(watch.curve),
            stopped=watch.stopped or self._stopped or None,
            final=watch.stopped is not None,
        )

    def once(self, on_line: Callable[[str], None]) -> Outcome:
        """Follow it: it is never left alone."""
        return self.follow(on_line)

    def recall(self, seen: Mapping[str, Any]) -> None:
        """Take up nothing: it has no trigger."""

    def trigger(self, until: float) -> None:
        """Give none: a process is waited for where it was started."""

    def abandon(self, why: str) -> None:
        """End it: another attempt cannot find it."""
        self.stop(why)

    @property
    def result(self) -> str:
        """Address of the result."""
        return self._command.result

    def stop(self, why: str = "the task was stopped from outside") -> None:
        """End it, with all that it started."""
        self._stopped = why
        if self._process is not None:
            tree.end(self._process.pid)


def prepare(command: Command, resources: TaskResources, environment: Environment) -> LocalLaunch:
    """Describe a task that is to be a process."""
    return LocalLaunch(command, resources, environment)


def end_others(command: Command, tasks: Collection[str], environment: Environment) -> None:
    """End nothing: what runs here ends with who waits for it."""


def task_environment(resources: TaskResources, environment: Environment) -> dict[str, str]:
    """Give a task's environment: ours without Airflow's own, with its share of the processors."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("AIRFLOW", "_AIRFLOW", "__AIRFLOW"))
    }
    return {**kept, **environment.variables(), **for_tasks(resources)}
