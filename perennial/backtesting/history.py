"""A place of its own, into which the history is read: nothing of the product's state is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.flow import FLOWS
from ml_tasks.io.control import Control
from perennial import apart
from perennial.backtesting import steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.result import Result, Window


def place(given: Environment, pipeline: Pipeline) -> Environment:
    """Give the place of a product whose history is read like that."""
    told = pipeline.model_dump(mode="json")
    read = [told[name] for name in ("schedule", "sources", "validation", "features")]
    name = f"{pipeline.name}-{steps.key(read)}"
    return apart.on_this_machine(given, given.home / "backtest" / name)


def missing(environment: Environment, pipeline: Pipeline, wanted: Sequence[Window]) -> list[Window]:
    """Give the windows that the place has not read yet."""
    control = Control(environment.control)
    control.migrate()
    known = {one.start for one in control.windows(pipeline.name)}
    return [window for window in wanted if window.start.isoformat() not in known]


def read(environment: Environment, pipeline: Pipeline, window: Window) -> None:
    """Bring a window in, by the platform's own tasks.

    Raises:
        SourceError: Nothing was delivered for it.
    """
    done: dict[str, Result] = {}
    for step in FLOWS["ingestion"]:
        if not step.teardown:
            needs = {need: done[need] for need in step.needs}
            done[step.task] = steps.once(
                environment, pipeline, step.task, run=window.slug, window=window, needs=needs
            )
