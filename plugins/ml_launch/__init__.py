"""The one place that knows where a task runs."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any, Protocol, cast

from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping

    from airflow.triggers.base import BaseTrigger

    from ml_launch.command import Command
    from ml_launch.outcome import Outcome
    from ml_tasks.config import Environment, TaskResources

_LAUNCHERS = {"local": "ml_launch.on_worker", "kubernetes": "ml_launch.cluster.launch"}


class Launch(Protocol):
    """One task, to be started or taken up."""

    @property
    def result(self) -> str:
        """Address of its result: of an earlier attempt, where that one's process was found."""
        ...

    def begin(self) -> None:
        """Start it, or take up what works on it already.

        Raises:
            ConfigError: Whoever is to run it refused it.
            BackendError: Nobody answered, or it was stopped meanwhile.
        """
        ...

    @property
    def found(self) -> bool:
        """Whether it ran, or had run, before it was to be started."""
        ...

    def follow(self, on_line: Callable[[str], None]) -> Outcome:
        """Hand each line of its log on, and give what became of it; after a break it goes on."""
        ...

    def once(self, on_line: Callable[[str], None]) -> Outcome | None:
        """Give what became of it after its trigger fired; `None` where it was begun again."""
        ...

    def recall(self, seen: Mapping[str, Any]) -> None:
        """Take up what its trigger has seen of it, before it is begun."""
        ...

    def trigger(self, until: float) -> BaseTrigger | None:
        """Give what waits for it outside of a worker, where that is possible.

        Args:
            until: When the wait is over, seconds since the epoch.
        """
        ...

    def stop(self, why: str = ...) -> None:
        """End it, with all that it started."""
        ...

    def abandon(self, why: str) -> None:
        """Look after it no longer: Airflow gives the task to another attempt."""
        ...


class Launcher(Protocol):
    """What each module of the table offers."""

    def prepare(
        self, command: Command, resources: TaskResources, environment: Environment
    ) -> Launch:
        """Describe a task; nothing runs yet."""
        ...

    def end_others(
        self, command: Command, tasks: Collection[str], environment: Environment
    ) -> None:
        """End what still runs of a run's other tasks; its last one calls this.

        Raises:
            BackendError: Whoever runs them does not answer.
        """
        ...


def launcher(environment: Environment) -> Launcher:
    """Import the launcher that the environment names.

    Raises:
        ConfigError: There is no such launcher.
    """
    name = environment.launcher
    if name not in _LAUNCHERS:
        raise ConfigError(f"PERENNIAL_LAUNCHER: came {name!r}, wanted one of {sorted(_LAUNCHERS)}")
    return cast("Launcher", importlib.import_module(_LAUNCHERS[name]))


def start(command: Command, resources: TaskResources, environment: Environment) -> Launch:
    """Start a task by the launcher that the environment names.

    Raises:
        ConfigError: There is no such launcher, or it refused the task.
        BackendError: Nobody answered.
    """
    launch = launcher(environment).prepare(command, resources, environment)
    try:
        launch.begin()
    except KeyboardInterrupt:
        launch.stop()
        raise
    return launch
