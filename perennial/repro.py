"""Enters a failed step again from its capsule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_launch import capsule, launcher
from ml_launch.command import Command

from ml_tasks import config
from ml_tasks.errors import ConfigError, ExitCode
from ml_tasks.io import runs
from perennial import console

if TYPE_CHECKING:
    from ml_launch.capsule import Capsule

    from ml_tasks.config import Environment

TAIL_LINES = 20


def run(environment: Environment, uri: str, *, only_show: bool) -> int:
    """Show a capsule, and run its step as a further attempt; give the step's exit code.

    Raises:
        ConfigError: There is no capsule at the address.
    """
    try:
        found = capsule.read(uri)
    except FileNotFoundError as fault:
        raise ConfigError(f"capsule {uri}: there is none; the task's log names it") from fault
    _show(found)
    if only_show:
        return ExitCode.OK
    pipeline = config.load(found.pipeline, environment.pipelines)
    made = _again(environment, found)
    console.say(f"[bold]{' '.join(made.argv)}[/bold]")
    fresh = environment.model_copy(update={"warm_socket": None})
    launch = launcher(fresh).start(made, pipeline.resources_of(made.task), fresh)
    try:
        outcome = launch.follow(console.plain)
    except KeyboardInterrupt:
        launch.stop()
        raise
    if outcome.succeeded:
        console.say(f"[green]{made.task} succeeded[/green]: {made.result}")
        return ExitCode.OK
    console.fail(f"{made.task}: {outcome.message}")
    return outcome.code


def _again(environment: Environment, found: Capsule) -> Command:
    """Make the same command line with the next attempt's number and place."""
    number = runs.attempts(environment, found.pipeline, found.run, found.task) + 1
    words = list(found.arguments)
    place = words.index("--result") + 1
    words[words.index("--attempt") + 1] = str(number)
    words[place] = words[place].replace(
        f"/{found.task}/{found.attempt}/", f"/{found.task}/{number}/"
    )
    return Command(
        task=found.task,
        pipeline=found.pipeline,
        run=found.run,
        attempt=number,
        result=words[place],
        arguments=tuple(words),
        processes=found.processes,
    )


def _show(found: Capsule) -> None:
    rows = [
        ("pipeline", found.pipeline),
        ("run", found.run),
        ("task", f"{found.task}, attempt {found.attempt}"),
        ("exit code", found.exit_code),
        ("reason", found.reason),
        ("peak memory", f"{max((m for _s, m, _c in found.curve), default=0):.0f} MB"),
        ("seconds", found.curve[-1][0] if found.curve else "less than one"),
        *sorted(found.environment.items()),
    ]
    console.table("Capsule", ("", ""), rows)
    for line in found.tail[-TAIL_LINES:]:
        console.plain(f"  {line}")
