"""What judging a window costs beside Great Expectations alone.

One real week of flights, as `ingest` staged it, is held against the expectations of
`flight_delays`: by what `validate` does with it (`ml_tasks.validate.judge`: good rows, quarantine
entries with their reasons, what Data Docs show), and by Great Expectations on the same rows with
its own defaults (no places of bad rows, 20 samples). Both begin with the Arrow table and make a
context of their own; nothing is published. The bound is one of processor time, which other work on
the machine changes least; the time of the clock stands beside, and so does the whole task, of which
Great Expectations has no like: it also reads what was staged, writes Data Docs and quarantine,
and publishes the good rows under a lease, each time into a lake that has none of them.
"""

from __future__ import annotations

import shutil
import statistics
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from bench.measured import Measured, Spent, spent
from ml_tasks import config, ingest, validate
from ml_tasks.config import ROOT, Environment
from ml_tasks.context import Context
from ml_tasks.io import parquet
from ml_tasks.result import Window
from ml_tasks.validate import Came, judge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa

PRODUCT, SOURCE, WEEK = "flight_delays", "flights", "2013-01-01/2013-01-08"
REPETITIONS, WHOLE = 15, 7
WANTED = 1.1


def measure(folder: Path) -> Iterator[Measured]:
    """Judge the week in turn; the first time of each does not count."""
    pipeline = config.load(PRODUCT, ROOT / "ml_tasks" / "pipelines")
    pipeline = pipeline.model_copy(update={"sources": {SOURCE: pipeline.sources[SOURCE]}})
    home = folder / "home"
    context = Context(
        task="ingest", pipeline=PRODUCT, run="bench", attempt=1,
        environment=Environment(home=home), window=Window.parse(WEEK),
    )  # fmt: skip
    ingested = ingest.run(pipeline, context)
    rows, rejected = (
        parquet.read_parts(ingested.outputs[f"{kind}_{SOURCE}"].parts)
        for kind in ("staged", "rejected")
    )
    came = Came(rows=rows, rejected=rejected, read=rows.num_rows, key=pipeline.sources[SOURCE].key)
    origin = {"source": SOURCE, "window": WEEK, "run": "bench"}
    wanted = pipeline.validation.expectations[SOURCE]
    theirs = partial(alone, rows, wanted)
    ours, peer = in_turn(
        lambda: judge(pipeline.validation, came, origin), theirs, times=REPETITIONS
    )
    task = replace(context, task="validate", inputs={"ingest": ingested})
    shutil.copytree(home, folder / "ingested")

    def anew() -> None:
        shutil.rmtree(home)
        shutil.copytree(folder / "ingested", home)

    whole, beside = in_turn(lambda: validate.run(pipeline, task), theirs, times=WHOLE, before=anew)
    what = f"hold {rows.num_rows:,} flights against {len(wanted)} expectations"
    task_of = f"the task `validate` of {rows.num_rows:,} flights"
    library = "Great Expectations alone"
    yield Measured(what, ours.cpu, library, peer.cpu, "s CPU", WANTED)
    yield Measured(what, ours.wall, library, peer.wall, "s")
    yield Measured(task_of, whole.wall, library, beside.wall, "s")
    yield Measured(task_of, whole.cpu, library, beside.cpu, "s CPU")


def in_turn(
    ours: Callable[[], object],
    theirs: Callable[[], object],
    *,
    times: int,
    before: Callable[[], object] = lambda: None,
) -> tuple[Spent, Spent]:
    """Give the medians of both; what is done before each of ours does not count."""
    tries: tuple[list[Spent], list[Spent]] = ([], [])
    for _ in range(times + 1):
        before()
        for work, found in zip((ours, theirs), tries, strict=True):
            found.append(spent(work))
    first, second = (
        Spent(*(statistics.median(kind) for kind in zip(*found[1:], strict=True)))
        for found in tries
    )
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
