from __future__ import annotations

import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from ml_tasks.errors import LeaseLostError
from ml_tasks.io import housekeeping, objects
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake
from ml_tasks.result import Window

if TYPE_CHECKING:
    from ml_tasks.config import Environment

FIRST, SECOND = (Window.parse(w) for w in ("2013-01-01/2013-01-08", "2013-01-08/2013-01-15"))
NOW, HOUR, NONE = datetime.now(UTC), timedelta(hours=1), timedelta(0)


class Writer:
    """Publishes numbers into a table."""

    def __init__(self, environment: Environment) -> None:
        self.lake, self.control = Lake(environment), Control(environment.control)
        self.control.migrate()

    def publish(self, *values: int, window: Window = FIRST, table: str = "raw.t") -> int:
        times = pa.array([window.start] * len(values), pa.timestamp("us", "UTC"))
        rows = pa.table({"value": pa.array(values, pa.int64()), "event_time": times})
        with self.control.lease(table, holder="r/t", attempt=1) as lease:
            self.lake.publish(table, rows, window, lease)
        return self.lake.snapshot(table)

    def tag(self, snapshot: int, name: str) -> None:
        with self.control.lease("tags", holder="r/t", attempt=1) as lease:
            self.lake.tag("raw.t", snapshot, name, lease)

    def values(self, snapshot: int | None = None) -> list[int]:
        return sorted(self.lake.read("raw.t", snapshot=snapshot)["value"].to_pylist())


@pytest.fixture
def writer(environment: Environment) -> Writer:
    return Writer(environment)


def files(environment: Environment) -> set[Path]:
    return {f for f in Path(environment.home, "warehouse").rglob("*") if f.is_file()}


def data(environment: Environment) -> set[Path]:
    return {f for f in files(environment) if f.suffix == ".parquet"}


def soon() -> datetime:
    time.sleep(0.002)  # a snapshot's time is in whole milliseconds
    return datetime.now(UTC)


def test_old_snapshots_expire_with_their_files(environment: Environment, writer: Writer) -> None:
    for value in range(4):
        last = writer.publish(value)
    writer.publish(9, window=SECOND)
    assert len(data(environment)) == 5
    cleaned = housekeeping.clean(environment, soon(), grace=NONE)
    table = writer.lake.load("raw.t")
    assert [s.snapshot_id for s in table.snapshots()] == [table.current_snapshot().snapshot_id]
    assert last not in {s.snapshot_id for s in table.snapshots()}
    assert cleaned.snapshots == 7
    assert len(data(environment)) == 2
    assert cleaned.size > 0
    assert not any(Path(file).exists() for file in cleaned.files)
    assert writer.values() == [3, 9]
    assert writer.publish(5)
    assert writer.values() == [5, 9]


def test_tagged_and_young_ones_are_spared(environment: Environment, writer: Writer) -> None:
    first = writer.publish(1)
    writer.tag(first, "set-a")
    second, border = writer.publish(2), soon()
    third = writer.publish(3)
    writer.publish(4)
    housekeeping.clean(environment, border, grace=NONE)
    assert writer.values(first) == [1]
    assert writer.values(third) == [3]
    assert writer.values() == [4]
    with pytest.raises(ValueError, match=str(second)):
        writer.values(second)
    again = housekeeping.clean(environment, border, grace=NONE)
    assert (again.snapshots, again.files, again.size) == (0, (), 0)


def test_what_a_refused_commit_left_goes_when_it_is_old(
    environment: Environment, writer: Writer
) -> None:
    writer.publish(1)
    before = files(environment)
    kept = writer.control.lease("raw.t", holder="r/t", attempt=1)
    lost = kept.__enter__()
    loaded = writer.lake.load("raw.t")
    writer.publish(2)
    used = files(environment)
    rows = writer.lake.read("raw.t")
    from pyiceberg.exceptions import CommitFailedException

    with pytest.raises(CommitFailedException):
        loaded.append(rows)
    with pytest.raises(LeaseLostError):
        writer.lake.publish("raw.t", rows, SECOND, lost)
    left = files(environment) - used
    assert any(file.suffix == ".parquet" for file in left)
    assert housekeeping.clean(environment, NOW - HOUR).files == ()
    assert files(environment) >= left
    cleaned = housekeeping.clean(environment, NOW - HOUR, grace=NONE)
    assert {Path(file) for file in cleaned.files} == left
    assert cleaned.snapshots == 0
    assert files(environment) == used >= before
    assert writer.values() == [2]


def test_drafts_of_killed_writers_go(environment: Environment) -> None:
    uri = f"{environment.objects_root}/runs/p/r/train/1/model.onnx"
    objects.write_text(uri, "whole")
    folder = Path(environment.home, "objects/runs/p/r/train/1")
    old, young, other = (folder / name for name in (
        f".model.onnx.{'a' * 32}", f".model.onnx.{'b' * 32}", ".hidden",
    ))  # fmt: skip
    for file in (old, young, other):
        file.write_text("part")
    os.utime(old, (time.time() - 172_800,) * 2)
    assert housekeeping.clean(environment, NOW).files == (str(old),)
    assert young.exists()
    assert other.exists()
    assert objects.read_text(uri) == "whole"


def test_an_empty_platform(environment: Environment) -> None:
    assert housekeeping.clean(environment, NOW) == housekeeping.Cleaned(0, (), 0)
