"""A window of many rows is staged by `ingest` as two objects, and published as both."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import polars as pl
import pytest

from ml_tasks import config, ingest, validate
from ml_tasks.config import ROOT, Pipeline, Source
from ml_tasks.context import Context
from ml_tasks.errors import RejectedError
from ml_tasks.io import parquet
from ml_tasks.io.content import content_hash
from ml_tasks.io.lake import Lake
from ml_tasks.result import Result, Window

if TYPE_CHECKING:
    from ml_tasks.config import Environment

WEEK = Window.parse("2013-01-01/2013-01-08")


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    numbers = pl.Series("id", range(parquet.MANY))
    (tmp_path / "in").mkdir()
    pl.DataFrame(
        {
            "id": numbers.shuffle(seed=0),
            "at": pl.Series([WEEK.start]).dt.offset_by(numbers.cast(pl.String) + "s"),
            "word": (numbers % 7).cast(pl.String),
        }
    ).write_csv(tmp_path / "in" / "landed=2013-01-09.csv", datetime_format="%FT%TZ")
    source = Source(
        kind="csv",
        params={"path": f"{tmp_path.as_uri()}/in/*.csv"},
        key=("id",),
        event_time="at",
        known_at=("at",),
        columns={"id": "int64", "at": "timestamp", "word": "string"},
    )
    product = config.load("flight_delays", ROOT / "ml_tasks" / "pipelines")
    validation = product.validation.model_copy(update={"expectations": {}})
    return product.model_copy(update={"sources": {"s": source}, "validation": validation})


def context(environment: Environment, task: str, **inputs: Result) -> Context:
    return Context(
        task=task, pipeline="p", run="r", attempt=1, environment=environment, window=WEEK,
        inputs=inputs,
    )  # fmt: skip


def test_both_are_published(pipeline: Pipeline, environment: Environment) -> None:
    came = ingest.run(pipeline, context(environment, "ingest"))
    staged = came.outputs["staged_s"]
    rows = parquet.read_parts(staged.parts)
    assert [Path(part).name for part in staged.parts] == [
        "staged_s.parquet",
        "staged_s-more.parquet",
    ]
    assert staged.rows == rows.num_rows == parquet.MANY
    assert staged.content_hash == content_hash(rows) == content_hash(rows, in_order=True)
    done = validate.run(pipeline, context(environment, "validate", ingest=came)).outputs["raw_s"]
    lake = Lake(environment)
    files = [task.file for task in lake.load("raw.s").scan().plan_files()]
    assert sorted(one.record_count for one in files) == [parquet.MANY // 2] * 2
    stored = lake.read("raw.s", window=WEEK)
    assert content_hash(stored, in_order=True) == done.content_hash == staged.content_hash
    again = ingest.run(pipeline, context(environment, "ingest"))
    assert again.outputs["staged_s"].rows == 0


def test_nothing_is_published_where_one_is_not_what_was_written(
    pipeline: Pipeline, environment: Environment
) -> None:
    came = ingest.run(pipeline, context(environment, "ingest"))
    last = Path(urlsplit(list(came.outputs["staged_s"].parts)[-1]).path)
    last.write_bytes(last.read_bytes()[:-1] + b"x")
    with pytest.raises(RejectedError, match=r"staged_s-more\.parquet: its bytes .* run the task"):
        validate.run(pipeline, context(environment, "validate", ingest=came))
    assert not Lake(environment).read("raw.s").num_rows
