"""The loop by the command's own runner, without Airflow, and what runs of it have made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks import config
from ml_tasks.io import runs
from ml_tasks.io.control import Control
from perennial import difference, runner
from tests.e2e.conftest import NAME, write_product

if TYPE_CHECKING:
    from pathlib import Path

    from ml_tasks.config import Environment
    from ml_tasks.flow import Dag

START, END, LATER = "2013-01-01", "2013-01-22", "2013-02-01"
FLOWS: tuple[tuple[Dag, str, str], ...] = (
    ("ingestion", START, END),
    ("training", START, END),
    ("ingestion", END, LATER),
    ("monitoring", END, LATER),
)
"""What the demo goes through: a window, a champion, and the window after it."""
CRON = "0 0 1,22 * *"
"""By which those are the windows."""


def write(pipelines: Path) -> None:
    """Write its product into a folder: it trains on two ranks, long enough to be drained."""
    write_product(pipelines, cron=CRON, processes=2, epochs=6, days=28)


def run(environment: Environment) -> None:
    """Run the flows' tasks one after the other."""
    pipeline = config.load(NAME, environment.pipelines)
    for flow, start, end in FLOWS:
        done = runner.run_flow(
            environment, pipeline, flow, run=f"{flow}-{start}", window=f"{start}/{end}",
            on_line=lambda _line: None, on_done=lambda _done: None,
        )  # fmt: skip
        assert [one.task for one in done if not one.outcome.succeeded] == []


def made(environment: Environment) -> dict[tuple[str, str, str], tuple[str, int | None]]:
    """Give hash and rows of every output of the windows, of the training and of its watch."""
    control = Control(environment.control)
    head = control.champion(NAME)
    assert head is not None
    (watched,) = {look.run for look in control.looks(NAME)}
    ran = {window.start: window.run for window in control.windows(NAME)}
    return {
        (when, task, name): (output.content_hash, output.rows)
        for when, one in (ran | {"trained": head.run, "watched": watched}).items()
        for task, result in runs.results(environment, NAME, one).items()
        for name, output in result.outputs.items()
        if (task, name) not in difference.OF_THE_RUN
    }
