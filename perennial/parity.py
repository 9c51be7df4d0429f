"""Runs the loop in two places, and holds every output of one against that of the other."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from itertools import takewhile
from typing import TYPE_CHECKING

from ml_tasks.errors import ConfigError, ExitCode, RejectedError
from ml_tasks.flow import FLOWS, step
from ml_tasks.io.control import Control
from perennial import apart, console, difference, runner
from perennial.difference import Side

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.flow import Dag
    from ml_tasks.result import Result

COMPARED: tuple[Dag, ...] = ("ingestion", "training")
POINTING = ("register", "record")
"""From these on tasks point at the outputs of those before, and make none of their own."""
PLACES = ("local", "kubernetes")
SHORT = 12


def command(
    environment: Environment, pipeline: Pipeline, window: str, places: Sequence[str], *, keep: bool
) -> int:
    """Run the loop in two places that share nothing, and compare.

    Raises:
        ConfigError: A place is none, or cannot be used from here.
        RejectedError: A task did not end well.
    """
    if len(places) != 2 or set(places) - set(PLACES):
        raise ConfigError(f"--in: came {list(places)}, wanted two of {', '.join(PLACES)}")
    stamp = f"{datetime.now(UTC):%Y%m%dt%H%M%S}"
    names = [f"{p} {n}" if places[0] == places[1] else p for n, p in enumerate(places, 1)]
    with apart.places(environment, places, stamp, keep=keep) as made:
        if keep:
            for name, place in zip(names, made, strict=True):
                console.say(f"{name} is kept: {apart.where(place)}")
        left, right = (
            run_side(name, place, pipeline, window) for name, place in zip(names, made, strict=True)
        )
        return compare(left, right)


def compare(left: Side, right: Side) -> int:
    """Show every output of both sides, and where they first part."""
    compared = difference.outputs(left, right)
    console.table(
        "Outputs",
        ("task", "output", left.name, right.name, ""),
        [
            (
                one.task,
                one.output,
                one.left.content_hash[:SHORT] if one.left else "-",
                one.right.content_hash[:SHORT] if one.right else "-",
                "equal" if one.equal else "DIFFERS",
            )
            for one in compared
        ],
    )
    first = next((one for one in compared if not one.equal), None)
    if first is None:
        console.say(f"all {len(compared)} outputs are equal on {left.name} and {right.name}")
        return ExitCode.OK
    console.fail(
        f"first difference: task {first.task}, output {first.output}: "
        f"{difference.detail(first, left, right)}"
    )
    for line in difference.why(first.task, left, right):
        console.fail(f"why: {line}")
    return ExitCode.REJECTED


def run_side(name: str, environment: Environment, pipeline: Pipeline, window: str) -> Side:
    """Run the loop over a window.

    Raises:
        RejectedError: A task did not end well; with its reason.
    """
    run, began = "parity", time.monotonic()
    results: dict[str, Result] = {}
    Control(environment.control).migrate()
    for flow in COMPARED:
        tasks = takewhile(lambda task: task not in POINTING, (s.task for s in FLOWS[flow]))
        trigger = runner.ask(environment, pipeline, window, run) if flow == "training" else None
        for task in tasks:
            done = runner.run_task(
                environment,
                pipeline,
                step(task, flow),
                run=run,
                window=window,
                trigger=trigger if task == "claim" else None,
                on_line=_nobody,
            )
            if done.outcome.code == ExitCode.SKIP:
                break  # refused: what both sides say of that was compared before
            results[task] = _good(name, done)
            console.say(f"{name}: {task} after {time.monotonic() - began:.0f} s")
    return Side(name, environment, pipeline, results)


def _nobody(_line: str) -> None:
    """Show no log: what goes wrong is told at the end."""


def _good(side: str, done: runner.Done) -> Result:
    result = done.outcome.result
    if not done.outcome.succeeded or result is None:
        end = "\n".join(done.outcome.tail[-5:])
        raise RejectedError(f"{side}, {done.task}: {done.outcome.message}\n{end}")
    return result
