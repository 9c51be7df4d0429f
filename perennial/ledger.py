"""The ledger of retrainings: what each was to win, what it won, and what it cost."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path  # noqa: TC003 - typer reads it
from typing import TYPE_CHECKING, Annotated

import typer

from ml_tasks.errors import ConfigError, ExitCode
from perennial import console
from perennial.cost import say_whose
from perennial.given import opened, require_product

if TYPE_CHECKING:
    from ml_tasks.io.ledger import LedgerLine

COLUMNS = (
    *("trigger", "cause", "asked", "learned", "version", "predicted", "realised", "95 %"),
    *("windows", "CPU s", "GPU s", "cost", "currency", "verdict"),
)


def command(
    pipeline: Annotated[
        str, typer.Option("--pipeline", "-p", help="Name of its YAML file.")
    ] = "flight_delays",
    as_json: Annotated[bool, typer.Option("--json", help="As JSON, all that is known.")] = False,
    picture: Annotated[
        Path | None, typer.Option(help="Draw it into this file: FILE.svg.", dir_okay=False)
    ] = None,
) -> int:
    """Show each retraining: what it was to win, what it won on the same rows, what it cost."""
    if picture is not None and picture.suffix != ".svg":
        raise ConfigError(f"--picture: came {picture.name!r}, wanted a name that ends with .svg")
    if picture is not None and not picture.parent.is_dir():
        raise ConfigError(f"--picture: came {picture}, wanted a file in a folder that is there")
    services, control = opened()
    found = control.ledger(pipeline)
    require_product(pipeline, services.present, found)
    if picture is not None:
        from perennial import ledger_picture

        ledger_picture.draw(found, picture)
    if as_json:
        console.as_json([asdict(one) for one in found])
        return ExitCode.OK
    if not found:
        console.plain(f"nobody has asked for a training of {pipeline}")
    else:
        console.table(f"Retrainings of {pipeline}", COLUMNS, [_row(one) for one in found])
        say_whose(one.currency for one in found)
    if picture is not None:
        console.plain(f"drawn: {picture}")
    return ExitCode.OK


def _row(one: LedgerLine) -> tuple[object, ...]:
    gain = f"{_signed(one.realised_gain)} {one.metric}" if one.realised_gain is not None else ""
    sure = one.low is not None and one.high is not None
    return (
        one.trigger,
        one.cause,
        one.at[:16],
        one.window,
        f"{one.version} after {one.before}" if one.before else one.version or "",
        _signed(one.predicted_gain),
        gain,
        f"{_signed(one.low)} to {_signed(one.high)}" if sure else "",
        f"{one.windows} of {one.wanted}" if one.wanted else "",
        f"{one.cpu_seconds:.1f}",
        f"{one.gpu_seconds:.1f}",
        f"{one.amount:.4f}",
        one.currency or "",
        one.told,
    )


def _signed(value: float | None) -> str:
    return "" if value is None else f"{value:+.4f}"
