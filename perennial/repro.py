"""Enters a failed step again from its capsule."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_launch import capsule, start
from ml_launch.command import Command

from ml_tasks import config
from ml_tasks.errors import ConfigError, ExitCode
from ml_tasks.result import RESULT
from perennial import console

if TYPE_CHECKING:
    from ml_launch.capsule import Capsule

    from ml_tasks.config import Environment

TAIL_LINES = 20


def run(environment: Environment, uri: str, *, only_show: bool) -> int:
    """Show a capsule, and run its attempt anew; give the step's exit code.

    It holds the attempt's leases: what a later attempt has published it does not touch.

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
    place = _environment(environment, found)
    pipeline = config.load(found.pipeline, place.pipelines)
    made = _again(found)
    console.say(f"[bold]{' '.join(made.argv)}[/bold]")
    launch = start(made, pipeline.resources_of(made.task), place)
    try:
        outcome = launch.follow(console.plain)
    except KeyboardInterrupt:
        launch.stop()
        raise
    if outcome.succeeded:
        console.say(f"[green]{made.task} succeeded[/green]; clear the task in Airflow to go on")
        return ExitCode.OK
    console.fail(f"{made.task}: {outcome.message}")
    return outcome.code


def _environment(present: Environment, found: Capsule) -> Environment:
    """Give the capsule's environment; what is masked there, and the launcher, are those of here."""
    told = {
        name.removeprefix("PERENNIAL_").lower(): value
        for name, value in found.environment.items()
        if capsule.MASK not in value
    }
    here = {"launcher": "local", "warm_socket": None, "pipelines": present.pipelines}
    return config.Environment.model_validate({**present.model_dump(), **told, **here})


def _again(found: Capsule) -> Command:
    """Make the same command line; its result lies beside the attempt's and counts for nobody."""
    words = list(found.arguments)
    place = words.index("--result") + 1
    words[place] = words[place].removesuffix(RESULT) + "repro.json"
    return Command(
        task=found.task,
        pipeline=found.pipeline,
        run=found.run,
        attempt=found.attempt,
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
