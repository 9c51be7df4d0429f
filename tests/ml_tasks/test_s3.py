"""The same tasks on a real S3 server: `AWS_ENDPOINT_URL` and its keys say which."""

from __future__ import annotations

import os
import uuid
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from ml_tasks import ingest, validate
from ml_tasks.config import Environment, Pipeline
from ml_tasks.context import Context
from ml_tasks.io import objects, parquet
from ml_tasks.io.lake import Lake
from ml_tasks.result import Result, Window

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WEEK = Window.parse("2013-01-01/2013-01-08")
DAYS = [f"2013-01-0{day}" for day in range(1, 8)]


@pytest.fixture
def bucket() -> Iterator[str]:
    """A bucket of its own."""
    if not os.environ.get("AWS_ENDPOINT_URL"):  # noqa: TID251
        if os.environ.get("CI"):  # noqa: TID251
            pytest.fail("CI has no S3 server: AWS_ENDPOINT_URL is not set")
        pytest.skip("no S3 server: set AWS_ENDPOINT_URL and its keys")
    import boto3

    name = f"test-{uuid.uuid4().hex[:12]}"
    store = boto3.Session().resource("s3").Bucket(name)
    store.create()
    yield f"s3://{name}"
    store.objects.delete()
    store.delete()


def test_objects_are_written_listed_read_and_deleted(bucket: str) -> None:
    objects.write_text(f"{bucket}/a/one.txt", "one")
    objects.write_text(f"{bucket}/a/b/two words.txt", "two")
    assert [o.uri for o in objects.find(f"{bucket}/a")] == [
        f"{bucket}/a/b/two words.txt",
        f"{bucket}/a/one.txt",
    ]
    assert objects.read_text(f"{bucket}/a/one.txt") == "one"
    objects.delete(f"{bucket}/a/one.txt")
    assert not objects.exists(f"{bucket}/a/one.txt")
    with pytest.raises(FileNotFoundError):
        objects.read_bytes(f"{bucket}/a/one.txt")
    assert objects.find(f"{bucket}/nothing") == []
    assert objects.create_bytes(f"{bucket}/a/once.txt", b"one")
    assert not objects.create_bytes(f"{bucket}/a/once.txt", b"two")
    assert objects.read_text(f"{bucket}/a/once.txt") == "one"


def orders(day: str) -> pa.Table:
    when = pa.array([f"{day}T08:00:00", f"{day}T20:00:00"]).cast(pa.timestamp("us"))
    return pa.table(
        {
            "id": [f"{day}-1", f"{day}-2"],
            "ordered_at": when.cast(pa.timestamp("us", "UTC")),
            "value": [1.5, 2.5],
        }
    )


def product(kind: str, path: str) -> Pipeline:
    return Pipeline.model_validate(
        {
            "name": "orders",
            "description": "Orders by day.",
            "owner": "shop",
            "schedule": {"cron": "0 0 * * 2", "start": "2013-01-01"},
            "sources": {
                "orders": {
                    "kind": kind,
                    "params": {"path": path},
                    "key": ["id"],
                    "event_time": "ordered_at",
                    "known_at": ["ordered_at"],
                    "columns": {"id": "string", "ordered_at": "timestamp", "value": "float64"},
                }
            },
            "validation": {"tolerated_bad_share": 0.0},
            "features": {"columns": ["value"]},
            "label": {
                "source": "orders",
                "task": "classification",
                "expression": "value > 2",
                "known_at": "ordered_at",
                "asked_before_minutes": 0,
            },
            "split": {"validation_days": 1, "test_days": 1},
            "training": {"model": "mlp"},
            "evaluation": {
                "metric": "roc_auc",
                "gates": [{"name": "floor", "params": {"metric": "roc_auc", "minimum": 0.5}}],
            },
        }
    )


@pytest.mark.parametrize("kind", ["parquet", "csv"])
def test_a_week_goes_from_a_glob_on_s3_to_a_lake_on_s3(
    kind: str, bucket: str, tmp_path: Path
) -> None:
    for day in DAYS:
        if kind == "parquet":
            parquet.write(f"{bucket}/in/{day}/orders.parquet", orders(day))
            continue
        import pyarrow.csv

        buffer = pa.BufferOutputStream()
        pyarrow.csv.write_csv(orders(day), buffer)
        objects.write_bytes(f"{bucket}/in/{day}/orders.csv", buffer.getvalue().to_pybytes())
    pipeline = product(kind, f"{bucket}/in/{{date}}/*.{kind}")
    environment = Environment(
        home=tmp_path / "home", objects=f"{bucket}/objects", warehouse=f"{bucket}/lake"
    )
    done: dict[str, Result] = {}
    for task, run in {"ingest": ingest.run, "validate": validate.run}.items():
        context = Context(
            task=task,
            pipeline=pipeline.name,
            run="r",
            attempt=1,
            environment=environment,
            window=WEEK,
            inputs=dict(done),
        )
        done[task] = run(pipeline, context)
    assert done["validate"].values["orders"]["published"] == 14
    rows = Lake(environment).read("raw.orders", window=WEEK)
    assert sorted(rows["id"].to_pylist()) == sorted(f"{d}-{n}" for d in DAYS for n in (1, 2))
    assert any(o.uri.endswith(".parquet") for o in objects.find(f"{bucket}/lake"))
