from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from ml_tasks.io.content import bytes_hash, content_hash

TABLE = pa.table(
    {
        "id": pa.array([1, 2, 3, 3]),
        "name": pa.array(["a", None, "", "b"]),
        "value": pa.array([0.5, None, float("nan"), 1.0]),
        "flag": pa.array([True, None, False, True]),
        "at": pa.array([datetime(2013, 1, 1, tzinfo=UTC)] * 4, pa.timestamp("us", "UTC")),
    }
)


@pytest.mark.parametrize(
    "same",
    [
        TABLE.take([3, 1, 0, 2]),
        TABLE.select(["at", "flag", "value", "name", "id"]),
        pa.concat_tables([TABLE.slice(2), TABLE.slice(0, 2)]),
        TABLE.replace_schema_metadata({"k": "v"}),
        TABLE.set_column(1, "name", TABLE["name"].cast(pa.large_string())),
        TABLE.set_column(1, "name", TABLE["name"].cast(pa.string_view())),
        TABLE.set_column(1, "name", TABLE["name"].dictionary_encode()),
    ],
    ids=["rows", "columns", "chunks", "metadata", "large", "view", "dictionary"],
)
def test_storage_does_not_count(same: pa.Table) -> None:
    assert content_hash(same) == content_hash(TABLE)


@pytest.mark.parametrize(
    "other",
    [
        TABLE.slice(1),
        pa.concat_tables([TABLE, TABLE.slice(0, 1)]),
        TABLE.rename_columns(["id2", "name", "value", "flag", "at"]),
        TABLE.set_column(1, "name", pa.array(["a", "", "", "b"])),
        TABLE.set_column(2, "value", pa.array([0.5, 0.0, float("nan"), 1.0])),
        TABLE.set_column(0, "id", pa.array([1, 2, 3, 3], pa.int32())),
        TABLE.set_column(3, "flag", pa.array([True, False, False, True])),
    ],
    ids=["fewer", "repeated", "renamed", "null", "null number", "type", "null flag"],
)
def test_content_counts(other: pa.Table) -> None:
    assert content_hash(other) != content_hash(TABLE)


def test_the_hash_stays_what_it_is() -> None:
    """Sets and windows are known by it."""
    assert content_hash(TABLE) == "41cb96adf1271756785298bfae4e809d50961aafc59a592139deca5742dafed0"


def test_neighbouring_texts_do_not_run_together() -> None:
    one, two = pa.table({"a": ["ab", "c"]}), pa.table({"a": ["a", "bc"]})
    assert content_hash(one) != content_hash(two)


def test_lineage_can_be_left_out() -> None:
    marked = TABLE.append_column("run", pa.array(["r"] * 4))
    assert content_hash(marked, without={"run"}) == content_hash(TABLE)


def test_empty() -> None:
    assert content_hash(TABLE.slice(0, 0)) != content_hash(TABLE)
    assert content_hash(pa.table({})) == content_hash(pa.table({}))
    assert bytes_hash(b"").startswith("e3b0c442")
