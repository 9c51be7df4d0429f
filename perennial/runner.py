"""Runs a flow, or one task of it, without Airflow: the same commands, one after the other."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain, count
from typing import TYPE_CHECKING

from ml_launch import capsule, start
from ml_launch.command import command, slug

from ml_tasks.errors import ConfigError, ExitCode
from ml_tasks.flow import FLOWS, step, task_names
from ml_tasks.io import objects, runs, tracking
from ml_tasks.io.control import Control
from ml_tasks.io.triggers import DONE
from ml_tasks.io.windows import NONE_IN, to_come
from ml_tasks.record import may_resume
from ml_tasks.result import RESULT, Window
from perennial import console

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_launch.outcome import Outcome

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.flow import Dag, Step


@dataclass(frozen=True, slots=True)
class Done:
    """A task that ran."""

    task: str
    outcome: Outcome
    capsule: str | None = None


WINDOWED = (
    *("ingest", "validate", "derive", "materialise"), *("assemble", "prove"),
    *("score", "monitor", "decide"),
)  # fmt: skip
"""Tasks that work on a window."""


def run(
    environment: Environment,
    pipeline: Pipeline,
    what: str,
    *,
    window: str | None,
    name: str,
) -> int:
    """Run a task or a flow and show its log; give the exit code of the first failure.

    Args:
        environment: Where state lives.
        pipeline: The product.
        what: Name of a task or of a flow.
        window: `START/END`; a training takes all that is in when it is not given.
        name: Name of the run; one is made from the window when it is empty.

    Raises:
        ConfigError: There is no such task or flow, it wants a window, or days of that are to come.
    """
    flow = next((f for f in FLOWS if f == what), None)
    if flow is None and what not in task_names():
        raise ConfigError(
            f"task {what!r}: wanted one of {', '.join(task_names())}, or a flow: {', '.join(FLOWS)}"
        )
    if window is not None:
        _hold(window)
    elif flow == "training":
        window = str(_all_that_is_in(environment, pipeline))
    elif flow is not None or what in WINDOWED:
        raise ConfigError(f"{what}: came no window, wanted --window START/END")
    # Runs of two flows would be one in MLflow, too, and the later one's record the only one.
    chosen = slug(name or f"command-{flow or _flow_of(what)}-{window or 'now'}")
    if flow == "training" and not name:
        chosen = _not_ended(environment, pipeline, chosen)
    if flow is not None and window is not None:
        # It ends with record: better to fail before its hours of work than after.
        tracking.require(environment.mlflow_url)
        done = run_flow(
            environment, pipeline, flow, run=chosen, window=window, on_line=console.plain,
            on_done=lambda one: _say(one, chosen),
        )  # fmt: skip
    else:
        done = [
            run_task(
                environment, pipeline, step(what), run=chosen, window=window, on_line=console.plain
            )
        ]
        _say(done[0], chosen)
    codes = [one.outcome.code for one in done if not one.outcome.succeeded]
    return codes[0] if codes else ExitCode.OK


def _flow_of(task: str) -> Dag:
    """Give the first flow that has a task."""
    return next(flow for flow, steps in FLOWS.items() if any(one.task == task for one in steps))


def _hold(window: str) -> None:
    try:
        held = Window.parse(window)
    except ValueError as fault:
        raise ConfigError(str(fault)) from fault
    if early := to_come(held):
        raise ConfigError(f"--window, its end: {early}")


def _not_ended(environment: Environment, pipeline: Pipeline, base: str) -> str:
    """Give a name for a training: one that broke off goes on, of one that ended the word stays."""
    control = Control(environment.control)
    control.migrate()
    known = {trigger.run for trigger in control.triggers(pipeline.name) if trigger.state == DONE}
    numbered = (f"{base}-{number}" for number in count(2))
    return next(
        name
        for name in chain([base], numbered)
        if name not in known or may_resume(runs.results(environment, pipeline.name, name))
    )


def _all_that_is_in(environment: Environment, pipeline: Pipeline) -> Window:
    control = Control(environment.control)
    control.migrate()
    found = control.all_in(pipeline)
    if found is None:
        raise ConfigError(f"{pipeline.name}: {NONE_IN}")
    return found


def _say(done: Done, run: str) -> None:
    if done.outcome.succeeded:
        console.say(f"[green]{done.task}[/green] done in run {run}")
        return
    console.fail(f"{done.task}: {done.outcome.message}")
    if done.capsule is not None:
        console.say(f"to enter it again: perennial repro {done.capsule}")


def run_flow(
    environment: Environment,
    pipeline: Pipeline,
    flow: Dag,
    *,
    run: str,
    window: str,
    on_line: Callable[[str], None],
    on_done: Callable[[Done], None],
) -> list[Done]:
    """Run a flow's tasks in their order; after a failure only the last one, which records it.

    Args:
        environment: Where state lives.
        pipeline: The product.
        flow: Which flow.
        run: Name of the run; the same name again makes further attempts of it.
        window: `START/END`.
        on_line: Told each line of each task's log.
        on_done: Told each task that ended.
    """
    trigger = ask(environment, pipeline, window, run) if flow == "training" else None
    done: list[Done] = []
    failed = False
    for place in FLOWS[flow]:
        skipped = any(one.outcome.code == ExitCode.SKIP for one in done)
        if (failed and not place.teardown) or (skipped and place.unless_skipped):
            continue
        own = trigger if place.task == "claim" else None
        one = run_task(
            environment, pipeline, place, run=run, window=window, trigger=own, on_line=on_line
        )
        done.append(one)
        on_done(one)
        failed = failed or not one.outcome.succeeded
    return done


def run_task(
    environment: Environment,
    pipeline: Pipeline,
    place: Step,
    *,
    run: str,
    window: str | None,
    trigger: str | None = None,
    on_line: Callable[[str], None],
) -> Done:
    """Run one task; what it needs is taken from the newest results of the run.

    Raises:
        ConfigError: A task that it needs has left no result in this run.
    """
    inputs = {need: _newest(environment, pipeline.name, run, need) for need in place.needs}
    made = command(
        environment,
        pipeline.name,
        place,
        run=run,
        attempt=runs.attempts(environment, pipeline.name, run, place.task) + 1,
        window=window,
        trigger=trigger,
        inputs=inputs,
        processes=pipeline.training.processes,
    )
    launch = start(made, pipeline.resources_of(place.task), environment)
    try:
        outcome = launch.follow(on_line)
    except KeyboardInterrupt:
        launch.stop()
        raise
    if outcome.succeeded or outcome.code == ExitCode.SKIP:
        return Done(place.task, outcome)
    return Done(place.task, outcome, capsule.write(made, outcome, environment))


def ask(environment: Environment, pipeline: Pipeline, window: str, run: str) -> str:
    """Write the trigger of a run that a command starts, and take it at once; give its id."""
    control = Control(environment.control)
    control.migrate()
    trigger, _ = control.ask(pipeline.name, "command", window, who=run, evidence={}, replay=run)
    # Nobody else is to start what this command does itself, should it be killed.
    return control.claim(trigger.id, run).id


def _newest(environment: Environment, pipeline: str, run: str, task: str) -> str:
    """Give the address of a needed task's newest good result."""
    folder = f"{environment.run_folder(pipeline, run)}/{task}"
    found = [o.uri for o in objects.find(folder) if o.uri.endswith(f"/{RESULT}")]
    good = [uri for uri in found if objects.read_result(uri).error is None]
    if not good:
        raise ConfigError(f"run {run}: task {task!r} has left no result there; run it first")
    return max(good, key=lambda uri: int(uri.split("/")[-2]))
