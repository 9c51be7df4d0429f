from __future__ import annotations

from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from ml_tasks.errors import BackendError, ConfigError
from ml_tasks.io import objects
from ml_tasks.result import Result

if TYPE_CHECKING:
    from pathlib import Path


def test_a_written_object_is_read_listed_and_deleted(tmp_path: Path) -> None:
    uri = (tmp_path / "a folder" / "x.txt").as_uri()
    assert not objects.exists(uri)
    objects.write_text(uri, "one")
    objects.write_text(uri, "two")
    assert objects.read_text(uri) == "two"
    assert [o.size for o in objects.find(tmp_path.as_uri())] == [3]
    objects.delete(uri)
    objects.delete(uri)
    assert not objects.exists(uri)


def test_a_refused_write_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(BackendError, match="cannot be written"):
        objects.write_bytes((tmp_path / "file" / "x").as_uri(), b"")
    assert (tmp_path / "file").read_text() == "in the way"


def test_a_missing_object(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        objects.read_bytes((tmp_path / "x").as_uri())
    assert objects.find((tmp_path / "nowhere").as_uri()) == []


def test_an_address_of_another_kind() -> None:
    with pytest.raises(ConfigError, match="wanted file:///… or s3://"):
        objects.read_bytes("ftp://host/x")


def test_equal_tables_give_equal_bytes(tmp_path: Path) -> None:
    table = pa.table({"a": [1, 2], "b": ["x", None]})
    one, two = ((tmp_path / name).as_uri() for name in ("1.parquet", "2.parquet"))
    objects.write_parquet(one, table)
    objects.write_parquet(two, table)
    assert objects.read_bytes(one) == objects.read_bytes(two)
    assert objects.read_parquet(one, ["b"]).to_pydict() == {"b": ["x", None]}


def test_results(tmp_path: Path) -> None:
    result = Result(task="t", pipeline="p", run="r")
    objects.write_result((tmp_path / "r.json").as_uri(), result)
    assert objects.read_result((tmp_path / "r.json").as_uri()) == result
