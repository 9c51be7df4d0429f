"""The trigger ledger: who asked for trainings, on what evidence, and what came of it."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import UTC, datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ml_tasks.errors import BackendError, ConfigError, ExitCode
from ml_tasks.io import triggers as ledger
from perennial import console
from perennial.airflow_api import Airflow
from perennial.given import opened, require_product
from perennial.rollback import person

if TYPE_CHECKING:
    from ml_tasks.io.control import Control, Trigger

COLUMNS = (
    *("id", "pipeline", "cause", "window", "who", "evidence", "state", "run", "outcome", "age"),
)
SHOWN = 60
"""Characters of the evidence in a list; `show` has all."""
STEPS = ((86400, "d"), (3600, "h"), (60, "min"))

app = typer.Typer(help="Who asked for trainings, and what came of it.", invoke_without_command=True)


class State(StrEnum):
    """How far a wish came."""

    ASKED = ledger.ASKED
    CLAIMED = ledger.CLAIMED
    DONE = ledger.DONE


@app.callback()
def show_all(
    context: typer.Context,
    pipeline: Annotated[
        str, typer.Option("--pipeline", "-p", help="Of this one alone; of all when empty.")
    ] = "",
    state: Annotated[State | None, typer.Option(help="Only those in this state.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, evidence whole.")] = False,
) -> None:
    """List the triggers, oldest first."""
    if context.invoked_subcommand is not None:
        return
    services, control = opened()
    kept = control.triggers(pipeline or None)
    require_product(pipeline, services.given, kept)
    found = [t for t in kept if state in (None, t.state)]
    if as_json:
        console.as_json([asdict(trigger) for trigger in found])
        return
    if not found:
        console.plain("no such trigger" if pipeline or state else "nobody has asked for a training")
        return
    console.table("Triggers", COLUMNS, [_row(trigger) for trigger in found])


@app.command()
def show(
    identity: Annotated[str, typer.Argument(metavar="ID", help="Its id, or how that begins.")],
) -> int:
    """Show a trigger with all its evidence."""
    _services, control = opened()
    trigger = _find(control, identity)
    rows = [(name, value) for name, value in asdict(trigger).items() if name != "evidence"]
    rows += [
        ("age", age(trigger.created)),
        *((f"evidence.{name}", _plain(value)) for name, value in trigger.evidence.items()),
        *(("replayed by", one.id) for one in control.triggers(trigger.pipeline)
          if one.replays == trigger.id),
    ]  # fmt: skip
    console.table(f"Trigger {trigger.id}", ("", ""), [(n, "" if v is None else v) for n, v in rows])
    return ExitCode.OK


@app.command()
def replay(
    identity: Annotated[str, typer.Argument(metavar="ID", help="Its id, or how that begins.")],
    why: Annotated[str, typer.Option(help="The reason, for whoever reads the ledger later.")],
) -> int:
    """Ask on purpose once more for what a trigger asked for, by a trigger with its own id."""
    if not why.strip():
        raise ConfigError("--why: came nothing, wanted the reason; the ledger keeps it")
    services, control = opened()
    asked = _find(control, identity)
    made = control.replay(asked.id, who=person(), why=why)
    console.plain(f"trigger {made.id}: {made.cause} asks for {made.window} again")
    if "api-server" in services.dead():
        console.plain(
            f"Airflow does not run: once it does (perennial up), {asked.pipeline}__intake finds "
            "the trigger and starts it within ten minutes; the same command starts it at once"
        )
        return ExitCode.OK
    airflow, dag = Airflow(services), f"{asked.pipeline}__intake"
    if not airflow.known(dag):
        raise BackendError(
            f"Airflow has not read {dag}: see perennial logs dag-processor. The trigger stands in "
            "the ledger, and the same command starts it"
        )
    run = airflow.start(dag, {"trigger": made.id})
    console.plain(f"{dag} starts its training: run {run}")
    return ExitCode.OK


def age(created: str) -> str:
    """Give how long ago a moment was, in its largest unit."""
    seconds = (datetime.now(UTC) - datetime.fromisoformat(created)).total_seconds()
    for step, unit in STEPS:
        if seconds >= step:
            return f"{seconds / step:.0f} {unit}"
    return f"{max(seconds, 0):.0f} s"


def _find(control: Control, identity: str) -> Trigger:
    found = [t for t in control.triggers() if identity and t.id.startswith(identity)]
    if len(found) > 1:
        raise ConfigError(
            f"trigger {identity!r}: came the beginning of {len(found)} ids, wanted one of "
            f"{', '.join(t.id for t in found)}"
        )
    if not found:
        raise ConfigError(
            f"trigger {identity!r}: the ledger has none of that id; see perennial triggers"
        )
    return found[0]


def _row(trigger: Trigger) -> tuple[object, ...]:
    told = ", ".join(f"{name} {_plain(value)}" for name, value in trigger.evidence.items() if value)
    evidence = told if len(told) <= SHOWN else f"{told[: SHOWN - 1]}…"
    return (
        trigger.id, trigger.pipeline, trigger.cause, trigger.window, trigger.who, evidence,
        trigger.state, trigger.run or "", trigger.outcome or "", age(trigger.created),
    )  # fmt: skip


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
