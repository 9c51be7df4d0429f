"""What history costs: features as they were known, for every flight of 2013.

All flights are asked about an hour before they leave, with every feature of every view on the lake.
Ours is `get_historical_features` of Feast with our offline store, which reads the lake's tables and
cuts by both times and by age. Beside it stands a bare `polars.join_asof` a view over the same
files, which knows of one time only and of no age. Both read their files anew each time. Feast's own
stores read the same rows from Parquet files, each in a process of its own that may take 16 GB, at a
number of rows that it can do; ours is measured at the same rows. Last, the same flights come in
batches, once and four times over: the peak of memory is that of a whole process. The lake is built
by the tasks' own command lines at the first call, and kept in `.bench`.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
import warnings
from typing import TYPE_CHECKING, Any

import polars as pl

from bench import ROOT
from bench.measured import Measured
from bench.quality import LONG, PRODUCT, Bench
from feature_repo.transformations import TABLES
from ml_tasks import config
from ml_tasks.io import features
from ml_tasks.io.engine import evaluate
from ml_tasks.io.lake import Lake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pyarrow as pa
    from feast import FeatureStore

KEPT = ROOT / ".bench" / "year"
REPETITIONS = 5
DASK_ROWS, DUCKDB_ROWS = 20, 10_000
TIMES = 4
REFS = [f"{name}:{feature}" for name, table in TABLES.items() for feature in table.features]
AT = "event_timestamp"


def measure(folder: Path) -> Iterator[Measured]:
    """Build the lake where it is not there yet; ask it in all ways."""
    warnings.simplefilter("ignore")
    bench = Bench(KEPT, threads=2, span=LONG)
    bench.lake()
    lake = Lake(bench.environment)
    store = features.store(bench.environment)
    features.apply(store)
    rows = flights(lake)
    files = {
        name: [
            task.file.file_path.removeprefix("file://")
            for task in lake.load(f"features.{name}").scan().plan_files()
        ]
        for name in TABLES
    }
    yield whole(store, rows, files)
    for kind, number in (("dask", DASK_ROWS), ("duckdb", DUCKDB_ROWS)):
        yield beside_feast(store, rows, kind, number, folder)
    yield in_batches(rows, folder)


def flights(lake: Lake) -> pl.DataFrame:
    """Give the entity rows, in the order of their times."""
    pipeline = config.load(PRODUCT, ROOT / "ml_tasks" / "pipelines")
    raw = lake.read("raw.flights")
    keys = pl.DataFrame(pl.from_arrow(evaluate(raw, pipeline.features.keys)))
    asked = pl.col("event_time") - pl.duration(minutes=pipeline.label.asked_before_minutes)
    rows = pl.concat([pl.DataFrame(pl.from_arrow(raw)), keys], how="horizontal")
    return (
        rows.with_columns(asked.alias("asked_at"), asked.alias(AT))
        .select(*features.told(features.refs("flight_delays_v1")), AT)
        .sort(AT)
    )


def whole(store: FeatureStore, rows: pl.DataFrame, files: dict[str, list[str]]) -> Measured:
    keys = list(dict.fromkeys(key for table in TABLES.values() for key in table.keys))
    asked = rows.select(*keys, AT)
    frame = asked.to_pandas()
    ours, theirs = [], []
    for _ in range(REPETITIONS + 1):
        seconds, found = timed(lambda: history(store, frame))
        ours.append(seconds)
        theirs.append(timed(lambda: bare(asked, files))[0])
    answer = pl.DataFrame(pl.from_arrow(found))
    assert answer[AT].equals(asked[AT]), "rows out are not the rows in"
    again = rows.height - rows.select("origin", AT).n_unique()
    return Measured(
        f"{rows.height:,} flights, {len(REFS)} features of {len(TABLES)} views",
        statistics.median(ours[1:]), "bare polars.join_asof", statistics.median(theirs[1:]), "s",
        bound=2.0,
        note=f"{rows.height:,} rows in, {answer.height:,} out, in order; {again:,} of them share "
        "airport and minute with one before them",
    )  # fmt: skip


def history(store: FeatureStore, frame: Any) -> pa.Table:
    return store.get_historical_features(entity_df=frame, features=REFS).to_arrow()


def bare(asked: pl.DataFrame, files: dict[str, list[str]]) -> pl.DataFrame:
    rows = asked.sort(AT)
    for name, table in TABLES.items():
        then = f"{name}_time"
        columns = [*table.keys, *table.features, "event_time"]
        right = pl.read_parquet(files[name], columns=columns).rename({"event_time": then})
        rows = rows.join_asof(
            right.sort(then), left_on=AT, right_on=then, by=list(table.keys),
            strategy="backward", check_sortedness=False,
        )  # fmt: skip
    return rows


def beside_feast(
    store: FeatureStore, rows: pl.DataFrame, kind: str, number: int, folder: Path
) -> Measured:
    some = rows.sample(number, seed=1)
    some.write_parquet(folder / f"{kind}.parquet")
    theirs = apart("feast", kind, str(KEPT), str(folder / f"{kind}.parquet"))
    frame = some.to_pandas()
    ours = [timed(lambda: history(store, frame))[0] for _ in range(3)]
    return Measured(
        f"{number:,} of the flights", statistics.median(ours), f"Feast's {kind} store",
        theirs["seconds"], "s",
        note=f"{number:,} rows in, {theirs['rows']:,} out of Feast's {kind} store, which took "
        f"{theirs['peak_gb']:.1f} GB; all of the {rows.height:,} flights are "
        f"{rows.height / number:,.0f} times as many",
    )  # fmt: skip


def in_batches(rows: pl.DataFrame, folder: Path) -> Measured:
    rows.write_parquet(folder / "rows.parquet")
    one, more = (
        apart("batches", str(times), str(KEPT), str(folder / "rows.parquet"))
        for times in (1, TIMES)
    )
    return Measured(
        f"peak memory of {more['rows']:,} rows in batches, all features",
        more["peak_gb"], f"{one['rows']:,} rows", one["peak_gb"], "GB", bound=1.1,
        note=f"all that was answered has {more['answered_gb']:.1f} GB; {more['seconds']:.0f} s and "
        f"{one['seconds']:.0f} s",
    )  # fmt: skip


def apart(*words: str) -> Any:
    """Run a part in a process of its own; give the JSON of its last line."""
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-W", "ignore", "-m", "bench.as_of_apart", *words],
        cwd=ROOT, stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    return json.loads(done.stdout.splitlines()[-1])


def timed(work: Callable[[], Any]) -> tuple[float, Any]:
    began = time.perf_counter()
    found = work()
    return time.perf_counter() - began, found
