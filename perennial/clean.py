"""Takes away what nothing needs any more, or says what that would be."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from ml_tasks.errors import ExitCode
from ml_tasks.io import housekeeping, retention
from ml_tasks.io.control import Control
from perennial import console
from perennial.given import environment

if TYPE_CHECKING:
    from ml_tasks.config import Environment
    from ml_tasks.io.housekeeping import Cleaned
    from ml_tasks.io.retention import Plan

MEGABYTE = 2**20
LEASE_SECONDS = 3600


def command(
    days: Annotated[
        int,
        typer.Option("--older-than", min=1, max=36_500, help="Days; snapshots from before expire."),
    ] = 30,
    dry: Annotated[bool, typer.Option("--dry-run", help="Only say what would go.")] = False,
) -> int:
    """Take away old snapshots, files that nothing refers to, old alerts, what old runs left.

    Runs count as old PERENNIAL_KEEP_DAYS after their last object. What a registered version, the
    champion, an open trigger or a held lease needs stays, and so do the snapshots of its set.
    """
    from perennial.services import Services

    services = Services(environment())
    given = services.present
    mlflow = given.profile == "servers" or "mlflow" not in services.dead()
    made, freed, cleaned = run(given, days, mlflow=mlflow, dry=dry)
    rows = [
        (item.kind, item.name, len(item.uris), f"{item.size / MEGABYTE:.1f} MB")
        for item in made.items
    ]
    if rows:
        console.table("Would go" if dry else "Gone", ("what", "name", "files", "size"), rows)
    would, been = ("would have ", "would have been ") if dry else ("", "")
    console.say(
        f"{cleaned.snapshots} snapshots {would}expired, {len(freed)} tags {been}freed, "
        f"{len(cleaned.files)} files {would}gone, {cleaned.size / MEGABYTE:.1f} MB; "
        f"{len(made.items)} of what old runs left, {made.size / MEGABYTE:.1f} MB"
    )
    if made.reports or made.sent:
        console.say(f"alerts: {made.reports} that were closed and {made.sent} told {would}gone")
    if made.left:
        console.say(
            f"{len(made.left)} old training runs stay: MLflow does not run, and knows which have "
            "versions; perennial up"
        )
    return ExitCode.OK


def run(
    given: Environment, days: int, *, mlflow: bool, dry: bool
) -> tuple[Plan, list[tuple[str, str]], Cleaned]:
    """Take away what may go, by itself: nobody copies state meanwhile.

    Args:
        given: Where state lies.
        days: Older snapshots expire.
        mlflow: Whether MLflow can be asked which versions there are.
        dry: Only say what would go.

    Returns:
        What of old runs goes; table and tag of the tags that are freed; what goes of the lake.

    Raises:
        LeaseHeldError: A backup is taken just now.
        LeaseLostError: It took so long that one was begun.
    """
    control, now = Control(given.control), datetime.now(UTC)
    control.migrate()
    with control.lease(
        housekeeping.LEASE, holder=f"clean {now.isoformat()}", attempt=1, seconds=LEASE_SECONDS
    ) as lease:
        made = retention.plan(given, now - timedelta(days=given.keep_days), mlflow=mlflow)
        lease.check()
        if not dry:
            retention.carry_out(given, made)
        freed = retention.free(given, made, dry=dry) if mlflow else []
        lease.check()
        cleaned = housekeeping.clean(given, now - timedelta(days=days), freed=freed, dry=dry)
    return made, freed, cleaned
