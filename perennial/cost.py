"""What runs cost: sums by pipeline, task and month."""

from __future__ import annotations

from collections import defaultdict
from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated

import typer

from ml_tasks import config
from ml_tasks.errors import ConfigError, ExitCode
from perennial import console, right_size
from perennial.given import opened, require_product

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ml_tasks.io.costs import Cost

HOUR = 3600
NOBODYS = "XXX"


class By(StrEnum):
    """What one line of the table is about."""

    PIPELINE = "pipeline"
    TASK = "task"
    MONTH = "month"


def command(
    by: Annotated[By, typer.Option(help="What one line is about.")] = By.PIPELINE,
    pipeline: Annotated[
        str, typer.Option("--pipeline", "-p", help="Of this one alone; of all when empty.")
    ] = "",
    since: Annotated[str, typer.Option(help="First day, such as 2013-01-31, in UTC.")] = "",
    right: Annotated[
        bool, typer.Option("--right-size", help="What tasks were given and used; what to give.")
    ] = False,
) -> int:
    """Sum up what recorded runs cost, or show what their tasks need."""
    services, control = opened()
    found = control.costs(pipeline=pipeline, since=_day(since))
    require_product(pipeline, services.present, found or control.costs(pipeline=pipeline))
    if not found:
        of = f" of {pipeline}" if pipeline else ""
        console.say(f"no run{of} was recorded{f' since {since}' if since else ''}")
        return ExitCode.OK
    if right:
        known, _faults = config.load_good(services.present.pipelines)
        right_size.show(found, known)
        return ExitCode.OK
    console.table(f"Costs by {by}", (by, *COLUMNS), rows(found, by))
    say_whose(cost.currency for cost in found)
    return ExitCode.OK


COLUMNS = ("runs", "tries", "wall h", "CPU h used", "GPU h", "cost", "currency")


def say_whose(currencies: Iterable[str | None]) -> None:
    """Say so where prices are nobody's."""
    if NOBODYS in currencies:
        console.say(f"{NOBODYS}: by example figures; name a file of your own in PERENNIAL_PRICES")


def rows(found: Sequence[Cost], by: By) -> Iterator[tuple[object, ...]]:
    """Give a line for each value of `by` and each currency, and one for each currency's sum."""
    parts: dict[tuple[str, str], list[Cost]] = defaultdict(list)
    sums: dict[str, list[Cost]] = defaultdict(list)
    for cost in found:
        parts[_name(cost, by), cost.currency].append(cost)
        sums[cost.currency].append(cost)
    for (name, currency), own in sorted(parts.items()):
        yield _line(name, own, currency)
    for currency, own in sorted(sums.items()):
        yield _line("sum", own, currency)


def _name(cost: Cost, by: By) -> str:
    if by is By.MONTH:
        return cost.at[:7]
    return cost.pipeline if by is By.PIPELINE else f"{cost.pipeline} {cost.task}"


def _line(name: str, own: Sequence[Cost], currency: str) -> tuple[object, ...]:
    hours = (
        f"{sum(seconds) / HOUR:.2f}"
        for seconds in (
            (cost.wall_seconds for cost in own),
            (cost.cpu_seconds for cost in own),
            (cost.gpu_seconds for cost in own),
        )
    )
    runs = len({(cost.pipeline, cost.run) for cost in own})
    amount = sum(cost.amount for cost in own)
    return (name, runs, len(own), *hours, f"{amount:.2f}" if amount >= 1 else f"{amount:.4f}",
            currency)  # fmt: skip


def _day(text: str) -> str:
    if not text:
        return ""
    try:
        return date.fromisoformat(text).isoformat()
    except ValueError as fault:
        raise ConfigError(f"--since: came {text!r}, wanted a day such as 2013-01-31") from fault
