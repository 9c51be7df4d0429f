"""Whether the budget of false alarms holds, and what it leaves to be seen."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ml_tasks.config import ROOT
from ml_tasks.errors import ExitCode
from perennial import console

PAGE = ROOT / "docs" / "alarms.md"

app = typer.Typer(help="The budget of false alarms.", no_args_is_help=True)


@app.command()
def prove(
    years: Annotated[int, typer.Option(min=2, help="Years without drift.")] = 10,
    seed: Annotated[int, typer.Option(help="Of model, days and shifts.")] = 1,
    reference: Annotated[int, typer.Option(min=7, help="Days that a reference has.")] = 60,
    quick: Annotated[
        bool, typer.Option("--quick", help="Fewer rows, years, sizes and trials.")
    ] = False,
    keep: Annotated[
        bool, typer.Option("--write", help="Put figures and picture into docs/alarms.md.")
    ] = False,
    picture: Annotated[str, typer.Option(help="File to draw the picture into.")] = "",
) -> int:
    """Count false alarms on real days without drift, and what is found of drift of known cost."""
    from perennial import alarm_proof, alarm_report

    with console.waiting("proving") as show:
        proof = alarm_proof.measure(
            years=years, seed=seed, reference=reference, quick=quick, show=show
        )
    tables = (
        ("Without drift", alarm_report.QUIET_COLUMNS, alarm_report.quiet_rows(proof)),
        ("By cost in AUC", alarm_report.SIZE_COLUMNS, alarm_report.size_rows(proof)),
        ("Planted", alarm_report.FOUND_COLUMNS, alarm_report.found_rows(proof.harmful)),
        ("Matter little", alarm_report.FOUND_COLUMNS, alarm_report.found_rows(proof.harmless)),
    )
    for table in tables:
        console.table(*table)
    if keep:
        alarm_report.write(proof, PAGE)
    if picture:
        alarm_report.draw(proof, Path(picture).resolve())
    if not proof.kept:
        console.fail(f"more than {proof.allowed:g} false pages a quarter: the budget does not hold")
    if proof.blind:
        console.fail(
            f"fewer than {alarm_report.POWER:.0%} of the shifts that cost {alarm_report.COSTLY:g} "
            "of AUC are paged in two weeks: it sees too little"
        )
    return ExitCode.REJECTED if proof.blind or not proof.kept else ExitCode.OK
