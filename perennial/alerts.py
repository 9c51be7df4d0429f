"""What people were told of products, and what waits to be sent."""

from __future__ import annotations

import time
import uuid
from typing import TYPE_CHECKING, Annotated

import typer
from ml_alerts.message import TEST, Message

from ml_tasks import config
from ml_tasks.errors import ConfigError, ExitCode
from ml_tasks.io.outbox import SENT, WAITING
from perennial import console
from perennial.given import opened, require_product
from perennial.rollback import person
from perennial.triggers import age

if TYPE_CHECKING:
    from ml_tasks.io.control import Control
    from ml_tasks.io.outbox import Sent

COLUMNS = ("id", "pipeline", "event", "channel", "subject", "state", "tries", "fault", "age")
SECONDS = 120.0

app = typer.Typer(
    help="What people were told, and what waits to be sent.", invoke_without_command=True
)


@app.callback()
def show_all(
    context: typer.Context,
    pipeline: Annotated[
        str, typer.Option("--pipeline", "-p", help="Of this one alone; of all when empty.")
    ] = "",
    waiting: Annotated[bool, typer.Option("--waiting", help="Only what was not sent yet.")] = False,
) -> None:
    """List alerts, oldest first."""
    if context.invoked_subcommand is not None:
        return
    services, control = opened()
    kept = control.sent(pipeline or None)
    require_product(pipeline, services.given, kept)
    found = [one for one in kept if not waiting or one.state == WAITING]
    if not found:
        console.plain("nothing waits" if waiting else "nobody was told of anything")
        return
    console.table("Alerts", COLUMNS, [_row(one) for one in found])


@app.command("test")
def sample(
    pipeline: Annotated[
        str, typer.Option("--pipeline", "-p", help="Name of its YAML file.")
    ] = "flight_delays",
) -> int:
    """Send a sample by each channel of a product, through Airflow, as others are sent."""
    services, control = opened()
    wanted = config.load(pipeline, services.given.pipelines)
    if not wanted.alerts:
        raise ConfigError(
            f"{pipeline}: alerts: came none, wanted a channel: [{{kind: email, to: [you@…]}}]"
        )
    key = uuid.uuid4().hex
    sample = Message(
        kind=TEST, key=key, pipeline=pipeline, subject="a sample",
        cause=f"{person()} looks whether alerts arrive",
        runbook=f"{services.given.runbook}#people-are-not-told",
    )  # fmt: skip
    control.post(pipeline, TEST, key, [channel.name for channel in wanted.alerts], sample.content)
    if "triggerer" in services.dead() or "scheduler" in services.dead():
        console.fail("Airflow does not run here: the samples wait; once it does, it sends them")
        return ExitCode.RETRY
    with console.waiting("waiting for Airflow to send them"):
        found = _tried(control, pipeline, key)
    console.table("Samples", COLUMNS, [_row(one) for one in found])
    if any(one.tries == 0 for one in found):
        console.fail(
            f"nobody has tried within {SECONDS:.0f} s: is {pipeline}__intake paused, or were its "
            "alerts added just now? perennial logs triggerer"
        )
    return ExitCode.OK if all(one.state == SENT for one in found) else ExitCode.RETRY


def _tried(control: Control, pipeline: str, key: str) -> list[Sent]:
    """Wait until each sample was sent, or could not be at the first try."""
    limit = time.monotonic() + SECONDS
    while True:
        own = [one for one in control.sent(pipeline) if one.content["key"] == key]
        if all(one.state != WAITING or one.fault for one in own) or time.monotonic() > limit:
            return own
        time.sleep(0.5)


def _row(one: Sent) -> tuple[object, ...]:
    return (
        one.id, one.pipeline, one.kind, one.channel, one.content["subject"], one.state, one.tries,
        one.fault or "", age(one.created),
    )  # fmt: skip
