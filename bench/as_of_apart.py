"""Parts of `as_of` whose memory is measured or limited: `as_of_apart.py KIND WORD HOME ROWS`."""

from __future__ import annotations

import json
import resource
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow.parquet as pq

from feature_repo.entities import ENTITIES
from feature_repo.views import VIEWS
from ml_tasks.config import Environment
from ml_tasks.io import features, history
from ml_tasks.io.lake import Lake

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from feast import FeatureStore

MOST = 16 << 30
BATCH = 50_000
SERVICE = "flight_delays_v1"


def feast(kind: str, lake: Lake, rows: Path) -> dict[str, float]:
    """Ask one of Feast's own stores, on the lake's rows as files."""
    resource.setrlimit(resource.RLIMIT_AS, (MOST, MOST))
    frame = pl.read_parquet(rows).to_pandas()
    refs = [f"{view.name}:{feature.name}" for view in VIEWS.values() for feature in view.features]
    with tempfile.TemporaryDirectory() as folder:
        store = feasts_own(kind, lake, Path(folder))
        began = time.perf_counter()
        found = store.get_historical_features(entity_df=frame, features=refs).to_df()
        seconds = time.perf_counter() - began
    return {"seconds": seconds, "rows": len(found), "peak_gb": peak_gb()}


def feasts_own(kind: str, lake: Lake, folder: Path) -> FeatureStore:
    from feast import FeatureStore, FeatureView, FileSource, RepoConfig

    opened = FeatureStore(
        config=RepoConfig(
            project="peer", provider="local", registry=str(folder / "registry.db"),
            offline_store={"type": kind}, entity_key_serialization_version=3,
            online_store={"type": "sqlite", "path": str(folder / "online.db")},
        )
    )  # fmt: skip
    views = []
    for name, own in VIEWS.items():
        path = str(folder / f"{name}.parquet")
        pl.DataFrame(pl.from_arrow(lake.read(f"features.{name}"))).write_parquet(path)
        source = FileSource(
            name=name, path=path, timestamp_field="event_time", created_timestamp_column="known_at"
        )
        entities = [ENTITIES[key] for key in own.entities]
        views.append(
            FeatureView(name=name, entities=entities, ttl=own.ttl, schema=own.schema, source=source)
        )
    opened.apply([*ENTITIES.values(), *views])
    return opened


def batches(times: int, lake: Lake, environment: Environment, rows: Path) -> dict[str, float]:
    """Let the rows come so many times, one batch after the other."""
    pins = {f"features.{name}": lake.snapshot(f"features.{name}") for name in VIEWS}
    store = features.store(environment, pins)

    def come() -> Iterator[pa.RecordBatch]:
        for _ in range(times):
            yield from pq.ParquetFile(rows).iter_batches(BATCH)

    number, size, began = 0, 0, time.perf_counter()
    for batch in history.in_batches(store, features.refs(SERVICE), come()):
        number += batch.num_rows
        size += batch.nbytes
    seconds = time.perf_counter() - began
    return {
        "seconds": seconds, "rows": number, "answered_gb": size / (1 << 30), "peak_gb": peak_gb(),
    }  # fmt: skip


def peak_gb() -> float:
    """Give this process's peak; `getrusage` would give that of its parent where that is larger."""
    lines = Path("/proc/self/status").read_text().splitlines()
    kilobytes = next(line.split()[1] for line in lines if line.startswith("VmHWM"))
    return int(kilobytes) / (1 << 20)


def main(kind: str, word: str, home: Path, rows: Path) -> None:
    environment = Environment(home=home)
    lake = Lake(environment)
    found: dict[str, Any] = (
        feast(word, lake, rows) if kind == "feast" else batches(int(word), lake, environment, rows)
    )
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
