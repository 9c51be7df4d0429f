"""The audit log: shown, and held against its own hashes."""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from ml_tasks.errors import ExitCode, RejectedError
from perennial import console
from perennial.given import opened, require_product

SHORT = 12
COLUMNS = ("number", "at", "pipeline", "action", "who", "why", "detail", "hash")

app = typer.Typer(help="Who changed a champion, when and why.", no_args_is_help=True)

PipelineName = Annotated[
    str, typer.Option("--pipeline", "-p", help="Show, or count, entries of this one alone.")
]


@app.command()
def show(
    pipeline: PipelineName = "",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, hashes whole.")] = False,
) -> int:
    """Show the entries, oldest first."""
    services, control = opened()
    entries = control.audit(pipeline or None)
    require_product(pipeline, services.present, entries)
    if as_json:
        console.as_json([asdict(entry) for entry in entries])
        return ExitCode.OK
    if not entries:
        console.plain(f"the log has no entry{f' of {pipeline}' if pipeline else ''}")
        return ExitCode.OK
    rows = [
        (e.number, e.at[:19], e.pipeline, e.action, e.who, e.why, _said(e.detail), e.hash[:SHORT])
        for e in entries
    ]
    console.table("Audit log", COLUMNS, rows)
    return ExitCode.OK


@app.command()
def verify(
    pipeline: PipelineName = "",
    kept: Annotated[
        str, typer.Option(help="Hash that was written down elsewhere: its entry has to be there.")
    ] = "",
) -> int:
    """Say whether the log is what was written; the chain is one, whichever pipeline is asked for.

    Of a log that is not, the first entry that is broken is named.
    """
    services, control = opened()
    require_product(pipeline, services.present, control.audit(pipeline or None))
    flaw = control.verify_audit()
    if flaw is not None:
        raise RejectedError(
            f"the audit log is broken at entry {flaw.number}: {flaw.what}; what comes after is not "
            "proven either. Hold it against a backup: perennial audit show --json"
        )
    entries = control.audit()
    if kept and not any(entry.hash.startswith(kept) for entry in entries):
        raise RejectedError(
            f"the audit log holds together, but no entry has the hash {kept}: all from some entry "
            "on was written anew. Hold it against a backup: perennial audit show --json"
        )
    own = sum(entry.pipeline == pipeline for entry in entries)
    of = f", {own} of them of {pipeline}" if pipeline else ""
    last = f"; the last one's hash is {entries[-1].hash}" if entries else ""
    console.plain(f"{len(entries)} entries{of}, each follows from the one before{last}")
    return ExitCode.OK


def _said(detail: dict[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in detail.items() if value is not None)
