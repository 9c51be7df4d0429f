"""Which retraining policy pays: history replayed under each of them."""

from __future__ import annotations

from datetime import date
from typing import Annotated

import typer

from ml_tasks import config
from ml_tasks.config import ROOT
from ml_tasks.errors import ConfigError, ExitCode
from perennial import console
from perennial.given import environment

PAGE = ROOT / "docs" / "backtest.md"


def command(
    pipeline: Annotated[
        str, typer.Option("--pipeline", "-p", help="Name of its YAML file.")
    ] = "flight_delays",
    seeds: Annotated[int, typer.Option(min=1, help="How often each training is repeated.")] = 3,
    until: Annotated[str, typer.Option(help="Replay the windows that end by this day.")] = "",
    turn: Annotated[
        str, typer.Option(help="Choose parameters before this day, judge from it on.")
    ] = "",
    processes: Annotated[int, typer.Option(min=1, max=2, help="Trainings at once.")] = 2,
    keep: Annotated[
        bool, typer.Option("--write", help="Put table and picture into docs/backtest.md.")
    ] = False,
) -> int:
    """Replay history under several retraining policies, and show what each was worth.

    Nothing of the product's own state is touched. What was done before is not done again.
    """
    from perennial.backtesting import report
    from perennial.backtesting.replay import Asked, replay

    given = environment()
    asked = Asked(seeds, _day(until, "--until"), _day(turn, "--turn"), processes)
    found = replay(given, config.load(pipeline, given.pipelines), asked)
    console.table(*report.table(found))
    for line in report.lines(found):
        console.say(line)
    page = report.page(found)
    console.say(f"page: {page}")
    if keep:
        report.write(found, PAGE)
    return ExitCode.OK


def _day(text: str, option: str) -> date | None:
    try:
        return date.fromisoformat(text) if text else None
    except ValueError as fault:
        raise ConfigError(f"{option}: came {text!r}, wanted a day such as 2013-07-01") from fault
