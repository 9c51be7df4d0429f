"""What judging a window costs beside Great Expectations alone.

One real week of flights, as `ingest` staged it, is held against the expectations of
`flight_delays`: by what `validate` does with it (`ml_tasks.validate.judge`: good rows, quarantine
entries with their reasons, what Data Docs show), and by Great Expectations on the same rows with
its own defaults (no places of bad rows, 20 samples). Both begin with the Arrow table and make a
context of their own; nothing is published.
"""

from __future__ import annotations

import statistics
import time
from typing import TYPE_CHECKING, Any

from bench.measured import Measured
from ml_tasks import config, ingest
from ml_tasks.config import ROOT, Environment
from ml_tasks.context import Context
from ml_tasks.io import objects
from ml_tasks.result import Window
from ml_tasks.validate import Came, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa

PRODUCT, SOURCE, WEEK = "flight_delays", "flights", "2013-01-01/2013-01-08"
REPETITIONS = 15
WANTED = 1.1


def measure(folder: Path) -> Iterator[Measured]:
    """Judge the week in turn; the first time of each does not count."""
    pipeline = config.load(PRODUCT, ROOT / "ml_tasks" / "pipelines")
    context = Context(
        task="ingest", pipeline=PRODUCT, run="bench", attempt=1,
        environment=Environment(home=folder), window=Window.parse(WEEK),
    )  # fmt: skip
    staged = ingest.run(pipeline, context).outputs
    rows, rejected = (
        objects.read_parquet(staged[f"{kind}_{SOURCE}"].uri or "")
        for kind in ("staged", "rejected")
    )
    came = Came(rows=rows, rejected=rejected, read=rows.num_rows, key=pipeline.sources[SOURCE].key)
    origin = {"source": SOURCE, "window": WEEK, "run": "bench"}
    wanted = pipeline.validation.expectations[SOURCE]
    ours, theirs = in_turn(
        lambda: judge(pipeline.validation, came, origin), lambda: alone(rows, wanted)
    )
    yield Measured(
        f"hold {rows.num_rows:,} flights against {len(wanted)} expectations", ours,
        "Great Expectations alone", theirs, "s CPU", WANTED,
    )  # fmt: skip


def in_turn(ours: Callable[[], object], theirs: Callable[[], object]) -> tuple[float, float]:
    """Give the median processor seconds of both."""
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(REPETITIONS + 1):
        for work, seconds in zip((ours, theirs), spent, strict=True):
            began = time.process_time()
            work()
            seconds.append(time.process_time() - began)
    first, second = (statistics.median(seconds[1:]) for seconds in spent)
    return first, second


def alone(rows: pa.Table, wanted: tuple[dict[str, Any], ...]) -> None:
    """Do what the library's own guide says: a data frame, a suite, a validation."""
    import great_expectations as gx

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False, "metric_calculations": False}
    asset = context.data_sources.add_pandas("flights").add_dataframe_asset("flights")
    batch = asset.add_batch_definition_whole_dataframe("week").get_batch(
        batch_parameters={"dataframe": rows.to_pandas()}
    )
    suite = context.suites.add(gx.ExpectationSuite(name="flights"))
    for one in wanted:
        arguments = {name: value for name, value in one.items() if name != "type"}
        kind = "".join(part.capitalize() for part in one["type"].split("_"))
        suite.add_expectation(getattr(gx.expectations, kind)(**arguments))
    assert batch.validate(suite).results
