from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from ml_tasks.errors import RejectedError
from ml_tasks.io import objects, parquet

if TYPE_CHECKING:
    from pathlib import Path

TABLE = pa.table({"number": [1, 2, 3], "text": ["x", None, "y"]})
TEXTS = (pa.large_string(), pa.string_view(), pa.dictionary(pa.int32(), pa.string()))


@pytest.mark.parametrize("kind", TEXTS, ids=str)
def test_equal_tables_give_equal_bytes_however_texts_are_held(
    tmp_path: Path, kind: pa.DataType
) -> None:
    one, two = ((tmp_path / name).as_uri() for name in ("1.parquet", "2.parquet"))
    held = TABLE.set_column(1, "text", TABLE["text"].cast(kind))
    assert parquet.write(one, TABLE) == parquet.write(two, held)
    assert objects.read_bytes(one) == objects.read_bytes(two)
    assert parquet.write(two, pl.DataFrame(pl.from_arrow(TABLE)).to_arrow()) == parquet.write(
        one, TABLE
    )
    assert parquet.read(two) == TABLE


def test_texts_come_without_statistics(tmp_path: Path) -> None:
    parquet.write((tmp_path / "x").as_uri(), TABLE)
    group = pq.read_metadata(tmp_path / "x").row_group(0)
    assert [group.column(place).is_stats_set for place in range(2)] == [True, False]


def test_parts_are_read_as_one_table_and_each_is_proved(tmp_path: Path) -> None:
    parts: dict[str, str | None] = {}
    for number in range(3):
        uri = (tmp_path / f"{number}.parquet").as_uri()
        parts[uri] = parquet.write(uri, TABLE.slice(number, 1))
    assert parquet.read_parts(parts) == TABLE
    assert parquet.read_parts(dict.fromkeys(parts)) == TABLE
    with pytest.raises(RejectedError, match=r"2\.parquet: its bytes have the SHA-256"):
        parquet.read_parts(parts | {uri: "0" * 64})


@pytest.mark.parametrize(("rows", "parts"), [(0, 1), (9, 1), (10, 2), (11, 2)])
def test_many_rows_are_two_objects(
    tmp_path: Path, rows: int, parts: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "MANY", 10)
    table = pa.table({"number": range(rows), "text": ["x"] * rows})
    written = parquet.write_parts((tmp_path / "x.parquet").as_uri(), table)
    assert [one.uri for one in objects.find(tmp_path.as_uri())] == sorted(written)
    assert len(written) == parts
    assert parquet.read_parts(written).to_pylist() == table.to_pylist()
