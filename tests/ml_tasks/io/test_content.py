from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ml_tasks.io.content import arranged, arranged_once, bytes_hash, coded, content_hash, plain

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


def test_equal_numbers_are_one_value() -> None:
    zero, other = pa.table({"x": [0.0, -0.0]}), pa.table({"x": [-0.0, 0.0]})
    assert content_hash(zero) == content_hash(other)


def test_names_do_not_run_into_what_is_told_of_them() -> None:
    one, other = pa.array([1]), pa.array([2])
    tables = ({"p": one, "q:int64:0\nr": other}, {"p:int64:0\nq": one, "r": other})
    assert len({content_hash(pa.table(table)) for table in tables}) == 2


def test_the_hash_stays_what_it_is() -> None:
    """Sets and windows are known by it."""
    assert content_hash(TABLE) == "97248a0488bfc00682ea9d6dd75ba74178d416ee5b2da528c110178b2a8a73e2"


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


MORE = [[9], [9], [9.0], ["of no row"], ["of no row"]]


@given(st.data())
@settings(max_examples=60, deadline=None)
def test_rows_that_are_arranged_hash_as_they_do_however_they_lie(data: st.DataObject) -> None:
    """Texts of a dictionary count by what of it is used, wherever that stands."""
    kinds = {
        "event_time": (st.integers(0, 3), pa.timestamp("us", "UTC")),
        "number": (st.none() | st.integers(-2, 2), pa.int64()),
        "share": (st.none() | st.sampled_from([0.5, -1.0, float("nan")]), pa.float64()),
        "text": (st.none() | st.sampled_from(["", "a", "b", "ba"]), pa.string()),
        "code": (st.sampled_from(["x", "y"]), pa.string()),
    }
    rows = data.draw(st.lists(st.tuples(*(one for one, _ in kinds.values())), max_size=12))
    table = pa.table({
        name: pa.array([row[place] for row in rows], kind)
        for place, (name, (_, kind)) in enumerate(kinds.items())
    })  # fmt: skip
    shuffled = table.take(pa.array(data.draw(st.permutations(range(len(rows)))), pa.int64()))
    cut = data.draw(st.integers(0, len(rows)))
    parts = pa.concat_tables([coded(shuffled.slice(0, cut)), coded(shuffled.slice(cut))])
    more = pa.table([pa.array(one, f.type) for one, f in zip(MORE, table.schema, strict=True)],
                    schema=table.schema)  # fmt: skip
    used = coded(pa.concat_tables([more, shuffled]).combine_chunks()).slice(1)
    assert content_hash(parts) == content_hash(used) == content_hash(table)
    assert content_hash(arranged(parts), in_order=True) == content_hash(table)
    assert content_hash(arranged(used), in_order=True) == content_hash(table)
    assert str(plain(arranged(parts)).to_pylist()) == str(plain(arranged(table)).to_pylist())


def test_rows_are_arranged_where_each_key_comes_once() -> None:
    table = pa.table({"b": [2, 1, 2], "a": ["x", "x", "y"]})
    assert arranged_once(table, ["a", "b"]) == arranged(table)
    assert arranged_once(table, ["b"]) is None
    assert arranged_once(table.slice(0, 0), ["b"]) == arranged(table.slice(0, 0))
