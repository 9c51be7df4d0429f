from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
from pyiceberg import table as iceberg
from pyiceberg.table.update import update_table_metadata

from ml_tasks.config import Environment
from ml_tasks.errors import ConfigError, LeaseLostError, RejectedError
from ml_tasks.io import objects, parquet
from ml_tasks.io.content import content_hash
from ml_tasks.io.control import Control
from ml_tasks.io.lake import PROPERTIES, Lake
from ml_tasks.io.versions import united
from ml_tasks.io.window_commit import numbered
from ml_tasks.result import Output, Window

if TYPE_CHECKING:
    from pathlib import Path

    from pyiceberg.table.metadata import TableMetadata

    from ml_tasks.io.control import Lease

FIRST, SECOND = (Window.parse(w) for w in ("2013-01-01/2013-01-08", "2013-01-08/2013-01-15"))


def rows(*values: int, day: int = 1) -> pa.Table:
    times = pa.array([datetime(2013, 1, day, tzinfo=UTC)] * len(values), pa.timestamp("us", "UTC"))
    return pa.table(
        {"value": pa.array(values, pa.int64()), "event_time": times, "name": ["x"] * len(values)}
    )


def values(lake: Lake, **scan: object) -> list[int]:
    return sorted(lake.read("raw.t", **scan)["value"].to_pylist())  # type: ignore[arg-type]


@pytest.fixture
def environment(tmp_path: Path, database_url: str) -> Environment:
    """Control and catalog in one database of either kind, tables in files."""
    return Environment(home=tmp_path, control_url=database_url, catalog_url=database_url)


@pytest.fixture
def control(environment: Environment) -> Control:
    made = Control(environment.control)
    made.migrate()
    return made


@pytest.fixture
def lake(environment: Environment) -> Lake:
    return Lake(environment)


def publish(lake: Lake, control: Control, table: pa.Table, window: Window) -> Output:
    with control.lease("raw.t", holder="r/t", attempt=1) as lease:
        return lake.publish("raw.t", table, window, lease)


def test_a_window_is_replaced_and_no_other(lake: Lake, control: Control) -> None:
    first = publish(lake, control, rows(1, 2), FIRST)
    publish(lake, control, rows(3, day=9), SECOND)
    again = publish(lake, control, rows(2, 1), FIRST)
    assert first.content_hash == again.content_hash
    publish(lake, control, rows(4), FIRST)
    assert values(lake) == [3, 4]
    assert values(lake, window=FIRST) == [4]
    assert values(lake, snapshot=first.snapshot) == [1, 2]
    assert lake.read("raw.t", columns=["value"]).column_names == ["value"]
    assert lake.read("raw.t").schema.field("name").type == pa.string()
    assert lake.latest("raw.t") == datetime(2013, 1, 9, tzinfo=UTC)
    assert lake.tables() == ["raw.t"]


@pytest.mark.parametrize("kind", [pa.large_string(), pa.string_view()])
def test_texts_are_the_same_however_they_are_held(
    lake: Lake, control: Control, kind: pa.DataType
) -> None:
    table = rows(1, 2)
    first = publish(lake, control, table, FIRST)
    other = table.set_column(2, "name", table["name"].cast(kind))
    again = publish(lake, control, other, FIRST)
    assert (again.content_hash, again.snapshot) == (first.content_hash, first.snapshot)


def test_what_was_staged_is_what_is_published(lake: Lake, control: Control, tmp_path: Path) -> None:
    """Where its columns have the table's numbers, the window is empty and its bytes are its own."""

    def add(table: pa.Table, window: Window, **told: str) -> Output | None:
        uri, digest = (tmp_path / "staged.parquet").as_uri(), content_hash(table)
        written = {"bytes_hash": parquet.write(uri, table)} | told
        staged = Output(uri=uri, content_hash=digest, rows=table.num_rows, **written)
        with control.lease("raw.t", holder="r/t", attempt=1) as lease:
            return lake.add("raw.t", staged, window, lease, schema=table.schema)

    for number, (table, window) in enumerate(((rows(1, 2), FIRST), (rows(3, day=9), SECOND))):
        fitting = table.cast(numbered(lake.find("raw.t"), table.schema))
        done = add(fitting, window)
        files = [task.file.file_path for task in lake.load("raw.t").scan().plan_files()]
        staged = objects.read_bytes((tmp_path / "staged.parquet").as_uri())
        assert staged in [objects.read_bytes(file) for file in files]
        assert len(files) == number + 1
        assert done is not None
        assert done.content_hash == content_hash(lake.read("raw.t", window=window))
    third, before = Window.parse("2013-01-15/2013-01-22"), lake.snapshot("raw.t")
    assert add(rows(9, day=16), third) is None
    assert add(fitting, SECOND) is None
    with pytest.raises(RejectedError, match="000 were written; run the task that wrote it again"):
        add(fitting, third, bytes_hash="0" * 64)
    assert lake.snapshot("raw.t") == before
    assert values(lake) == [1, 2, 3]


@pytest.mark.parametrize("late", [False, True], ids=["before it is read", "once it is read"])
def test_a_window_that_overlaps_loses_nothing(lake: Lake, control: Control, late: bool) -> None:
    """A week is published while the month that it lies in is put together."""
    publish(lake, control, rows(1), FIRST)
    month, asked = Window.parse("2013-01-01/2013-02-01"), []

    def meanwhile() -> None:
        if len(asked) == 1:
            with control.lease("week", holder="other/t", attempt=1) as lease:
                Lake(lake._environment).publish("raw.t", rows(2, day=9), SECOND, lease)

    def beside(had: pa.Table, new: pa.Table) -> pa.Table:
        asked.append(sorted(had["value"].to_pylist()))
        if late:
            meanwhile()
        return united(had, new)

    with control.lease("month", holder="r/t", attempt=1) as lease:
        if not late:
            asked.append([])
            meanwhile()
        done = lake.publish("raw.t", rows(3, day=20), month, lease, merge=beside)
    assert values(lake) == [1, 2, 3]
    assert asked == ([[1], [1, 2]] if late else [[], [1, 2]])
    assert (done.rows, done.content_hash) == (3, content_hash(lake.read("raw.t")))
    assert done.snapshot == lake.snapshot("raw.t")


def test_an_old_attempt_changes_nothing(lake: Lake, control: Control) -> None:
    publish(lake, control, rows(1), FIRST)
    kept = control.lease("raw.t", holder="r/t", attempt=1)
    zombie = kept.__enter__()
    with control.lease("raw.t", holder="r/t", attempt=2) as lease:
        lake.publish("raw.t", rows(2), FIRST, lease)
    with pytest.raises(LeaseLostError):
        lake.publish("raw.t", rows(3), FIRST, zombie)
    assert values(lake) == [2]


def test_a_zombie_between_check_and_commit_is_refused(
    lake: Lake, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The retry takes over after the old attempt's check and has nothing to change itself."""
    publish(lake, control, rows(1), FIRST)
    kept = control.lease("raw.t", holder="r/t", attempt=1)
    zombie = kept.__enter__()
    real_check = type(zombie).check
    retried = False

    def check(lease: Lease) -> None:
        nonlocal retried
        real_check(lease)
        if lease is zombie and not retried:
            retried = True
            with control.lease("raw.t", holder="r/t", attempt=2) as retry:
                lake.publish("raw.t", rows(1), FIRST, retry)

    monkeypatch.setattr(type(zombie), "check", check)
    with pytest.raises(LeaseLostError):
        lake.publish("raw.t", rows(9), FIRST, zombie)
    assert values(lake) == [1]


def test_many_at_once_open_an_empty_catalog_and_publish(
    environment: Environment, control: Control
) -> None:
    def bring(day: int) -> Output:
        lake, table = Lake(environment), f"space{day % 2}.t"
        window = Window.parse(f"2013-01-0{day}/2013-01-0{day + 1}")
        with control.lease(table, holder=f"r{day}/t", attempt=1, wait=60) as lease:
            return lake.publish(table, rows(day, day=day), window, lease)

    with ThreadPoolExecutor(6) as pool:
        list(pool.map(bring, range(1, 7)))
    lake = Lake(environment)
    assert lake.tables() == ["space0.t", "space1.t"]
    assert sorted(lake.read("space0.t")["value"].to_pylist()) == [2, 4, 6]
    assert sorted(lake.read("space1.t")["value"].to_pylist()) == [1, 3, 5]


def test_tags_keep_a_snapshot_by_name(lake: Lake, control: Control) -> None:
    publish(lake, control, rows(1), FIRST)
    snapshot = lake.snapshot("raw.t")
    with control.lease("tags", holder="r/t", attempt=1) as lease:
        lake.tag("raw.t", snapshot, "set-a", lease)
        lake.tag("raw.t", snapshot, "set-a", lease)
    publish(lake, control, rows(2), FIRST)
    loaded = lake.catalog.load_table("raw.t")
    assert loaded.refs()["set-a"].snapshot_id == snapshot
    for name in ("set-a", "set-b"):
        with pytest.raises(LeaseLostError, match="lease lost: tags is with r/t, attempt 1"):
            lake.tag("raw.t", snapshot, name, lease)
    assert "set-b" not in lake.catalog.load_table("raw.t").refs()


def test_what_is_not_there(lake: Lake) -> None:
    assert lake.find("raw.nope") is None
    assert lake.latest("raw.nope") is None
    for call in (lake.read, lake.snapshot):
        with pytest.raises(ConfigError, match=r"lake table raw.nope: there is none; .*Ingest"):
            call("raw.nope")


def test_a_commit_works_the_metadata_out_once_a_change(
    lake: Lake, control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(lake, control, rows(1), FIRST)
    seen: list[int] = []

    def watched(metadata: TableMetadata, updates: tuple[object, ...]) -> TableMetadata:
        seen.append(len(updates))
        return update_table_metadata(metadata, updates)  # type: ignore[arg-type]

    monkeypatch.setattr(iceberg, "update_table_metadata", watched)
    publish(lake, control, rows(2, 3), FIRST)
    assert values(lake) == [2, 3]
    assert seen
    assert seen == sorted(set(seen))
    history = lake.load("raw.t").metadata.snapshots
    assert [one.parent_snapshot_id for one in history[1:]] == [
        one.snapshot_id for one in history[:-1]
    ]


def test_the_newest_time_is_that_of_the_rows_that_are_left(lake: Lake, control: Control) -> None:
    publish(lake, control, rows(1, day=2), FIRST)
    publish(lake, control, rows(2, day=9), SECOND)
    assert lake.latest("raw.t") == datetime(2013, 1, 9, tzinfo=UTC)
    publish(lake, control, rows(2).slice(0, 0), SECOND)
    assert lake.latest("raw.t") == datetime(2013, 1, 2, tzinfo=UTC)
    publish(lake, control, rows(1).slice(0, 0), FIRST)
    assert lake.latest("raw.t") is None


def test_where_manifests_do_not_say_it_the_newest_time_is_read(
    lake: Lake, control: Control
) -> None:
    publish(lake, control, rows(1, day=2), FIRST)
    with lake.load("raw.t").transaction() as tx:
        tx.set_properties({"write.metadata.metrics.column.event_time": "counts"})
    publish(lake, control, rows(2, day=9), SECOND)
    files = [one.file for one in lake.load("raw.t").scan().plan_files()]
    assert sorted(len(one.upper_bounds or {}) for one in files) == [0, 1]
    assert lake.latest("raw.t") == datetime(2013, 1, 9, tzinfo=UTC)


def test_a_table_that_was_made_before_takes_on_the_properties_of_today(
    lake: Lake, control: Control, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What somebody chose stays, but for the library's own retries."""
    chosen = {"commit.manifest.min-count-to-merge": "50"}
    lake.catalog.create_namespace("raw")
    lake.catalog.create_table(
        "raw.t", rows(1).schema, properties=chosen | {"commit.retry.num-retries": "3"}
    )
    fitting = rows(1, 2).cast(numbered(lake.find("raw.t"), rows(1).schema))
    uri = (tmp_path / "staged.parquet").as_uri()
    staged = Output(
        uri=uri, bytes_hash=parquet.write(uri, fitting), content_hash="0", rows=fitting.num_rows
    )
    with control.lease("raw.t", holder="r/t", attempt=1) as lease:
        assert lake.add("raw.t", staged, FIRST, lease, schema=fitting.schema)
    assert lake.load("raw.t").properties == PROPERTIES | chosen
    assert not [one for one in caplog.records if one.name.startswith("pyiceberg")]
    assert values(lake) == [1, 2]
