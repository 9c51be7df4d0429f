"""A value is read the same whatever else its file has, by either reader of CSV files."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pytest

from ml_tasks.config import Source
from ml_tasks.io import objects, parquet
from ml_tasks.result import Window
from ml_tasks.sources import read
from ml_tasks.sources.schema import enforce, fitting

if TYPE_CHECKING:
    from pathlib import Path

    from ml_tasks.config import Environment
    from ml_tasks.sources.delivery import Delivery
    from ml_tasks.sources.schema import Rejected

DAY = Window.parse("2013-01-01/2013-01-02")
AT = "2013-01-01T00:00:00Z"
SIX = datetime(2013, 1, 1, 6, tzinfo=UTC)
TIMES = {
    "2013-01-01T06:00:00Z": SIX,
    "2013-01-01T06:00:00z": SIX,
    "2013-01-01T06:00:00": SIX,
    "2013-01-01 06:00:00": SIX,
    "2013-01-01 06:00:00Z": SIX,
    "2013-01-01T06:00Z": SIX,
    "2013-01-01 06:00": SIX,
    "2013-01-01T06Z": SIX,
    "2013-01-01T06": SIX,
    "2013-01-01T0600Z": SIX,
    "2013-01-01T060000": SIX,
    "2013-01-01T08:00:00+02:00": SIX,
    "2013-01-01T08:00:00+0200": SIX,
    "2013-01-01T08:00:00+02": SIX,
    "2013-01-01T08+02": SIX,
    "2013-01-01 00:30:00 -05:30": SIX,
    "2013-01-01T00:30:00\u221205:30": SIX,
    "2013-01-01T06:00:00.25": SIX + timedelta(milliseconds=250),
    "2013-01-01T07:00:00.25+01:00": SIX + timedelta(milliseconds=250),
    "2013-01-01T06:00:00.123456789Z": SIX + timedelta(microseconds=123456),
    "2013-01-01T05:59:60Z": SIX,
    " 2013-01-01T06:00:00Z\t": SIX,
    "2013-1-1 6:0:0": SIX,
    "2013/01/01 06:00": SIX,
    "2013.01.01 06:00": SIX,
    "2013-01-01": SIX - timedelta(hours=6),
    "2013/01/01": SIX - timedelta(hours=6),
    "0001-01-01": datetime(1, 1, 1, tzinfo=UTC),
    "9999-12-31T23:59:59.999999Z": datetime(9999, 12, 31, 23, 59, 59, 999999, tzinfo=UTC),
}
NO_TIMES = (
    "n/a", "2013", "2013-01", "20130101", "2013-001", "2013-W01", "1356998400", "01/02/2013",
    "2013-02-30", "2013-13-45T00:00:00Z", "0000-00-00 00:00:00", "2013-01-01T24:00:00Z",
    "2013-01-01T06:60Z", "2013-01-01T061Z", "2013-01-01T06:00:00.Z", "2013-01-01Z",
    "2013-01-01T06:00:00+24:00", "2013-01-01T06:00:00+02:60", "2013-01-01T06:00:00 UTC",
    "2013-01-01t06:00:00Z", "2013-01-01_06:00:00", "2013-01-01T06:00:00Z[UTC]", "12013-01-01",
)  # fmt: skip
VALUES: dict[str, tuple[str, ...]] = {
    "int64?": (
        "0x1F", "0X1f", "0xFFFFFFFFFFFFFFFF", "0x00000000000000001", "-0x1F", "+0x1F", " 0x1F ",
        "0x", "0xg", "00x1", "+5", "-0", "007", " 5", "5 ", "\t5", "1e3", "1.0", "", " ", "--5",
        "9223372036854775807", "9223372036854775808", "-9223372036854775808", "\u0663", "1_000",
        "5\u00a0", "1,000", '"5"', '""', "true",
    ),
    "int32?": ("2147483647", "2147483648", "0x7f", "0xFFFFFFFF", "0x80000000", "0x100000000"),
    "float64?": (
        "1e400", "1e-400", "nan", "inf", "Infinity", "-inf", "+1.5", ".5", "5.", "1e5", "1E5",
        "1e+05", "0x1p3", "0x1F", "1_0", "\u0661", " 1.5", "1.5f", "-0.0", "1d5", "1,5", "",
        "0.1000000000000000055511151231257827", "9007199254740993",
    ),
    "float32?": ("1e39", "3.4e38", "0.1", "16777217", "1e-46", "1.00000017881393432617187499"),
    "bool?": ("true", "True", "TRUE", "tRUE", "false", "t", "T", "1", "0", "yes", " true", ""),
    "timestamp?": (*TIMES, *NO_TIMES, ""),
    "string?": ("a", "NA", "", "  ", " a ", '"a""b"', "a\0b", '"x\ny"', "\u00e9", "e\u0301", '""'),
}  # fmt: skip


def source(columns: dict[str, str]) -> Source:
    return Source(
        kind="csv",
        params={"path": "rows.csv"},
        key=("id",),
        event_time="at",
        known_at=("at",),
        columns={"id": "int64", "at": "timestamp", **columns},
    )


def delivery(environment: Environment, declared: Source, *lines: str) -> Delivery:
    head = ",".join(declared.columns)
    text = "".join(f"{line}\n" for line in (head, *lines))
    objects.write_text(f"{environment.landing_root}/rows.csv", text)
    (found,) = read("s", declared, DAY, environment)
    return found


def said(bad: list[Rejected]) -> list[str]:
    return [one.reason for one in bad]


@pytest.mark.parametrize("kind", VALUES)
def test_a_value_is_the_same_alone_and_beside_what_does_not_fit(
    kind: str, environment: Environment
) -> None:
    """Alone it is read as it is declared, where it fits; beside a row that does not fit as text."""
    declared, values = source({"v": kind}), VALUES[kind]
    lines = [f"{number},{AT},{value}" for number, value in enumerate(values)]
    rows, bad = enforce(declared, delivery(environment, declared, *lines, f"x,{AT},"), DAY)
    assert said(bad).count("column 'id': came 'x', wanted int64") == 1
    together = list(zip(rows["id"], rows["v"], strict=True))
    alone: list[tuple[int, Any]] = []
    fitted = 0
    for line in lines:
        found = delivery(environment, declared, line)
        fitted += fitting(declared, found, DAY) is not None
        rows, bad = enforce(declared, found, DAY)
        assert rows.height + len(bad) == 1, (line, bad)
        alone += zip(rows["id"], rows["v"], strict=True)
    assert [(values[n], str(value)) for n, value in alone] == [
        (values[n], str(value)) for n, value in together
    ]
    assert 0 < fitted <= len(alone)


def test_whole_numbers_of_base_16_are_the_bits_of_their_type(environment: Environment) -> None:
    declared = source({"short": "int32?", "long": "int64?"})
    lines = [f"1,{AT},0x1F,0x1f", f"2,{AT},0xFFFFFFFF,0xFFFFFFFF", f"3,{AT},,0xFFFFFFFFFFFFFFFF"]
    wanted = [(31, 31), (-1, 2**32 - 1), (None, -1)]
    for more in ([], [f"4,{AT},0x100000000,1"]):
        rows, bad = enforce(declared, delivery(environment, declared, *lines, *more), DAY)
        assert rows.select("short", "long").rows() == wanted
        assert said(bad) == ["column 'short': came '0x100000000', wanted int32?"] * len(more)


@pytest.mark.parametrize("first", [*TIMES, *NO_TIMES])
def test_a_time_is_read_by_itself_whatever_stands_in_the_first_row(
    first: str, environment: Environment
) -> None:
    declared = source({"v": "timestamp"})
    texts = [first, *(text for text in (*TIMES, *NO_TIMES) if text != first)]
    lines = [f"{number},{AT},{text}" for number, text in enumerate(texts)]
    rows, bad = enforce(declared, delivery(environment, declared, *lines), DAY)
    assert {texts[number]: time for number, time in zip(rows["id"], rows["v"], strict=True)} == (
        TIMES
    )
    refused = [text for text in texts if text in NO_TIMES]
    assert said(bad) == [f"column 'v': came '{text}', wanted timestamp" for text in refused]


@pytest.mark.parametrize(
    "far", ["0000-01-01T00:00:00Z", "9999-12-31T23:59:59-05:00", "0000-01-01", "9999-12-31"]
)
def test_rows_of_years_that_python_does_not_have_are_another_windows(
    far: str, environment: Environment
) -> None:
    declared = source({})
    rows, bad = enforce(declared, delivery(environment, declared, f"1,{far}", f"2,{AT}"), DAY)
    assert (rows["id"].to_list(), bad) == ([2], [])


def test_no_name_of_a_column_is_in_the_way(environment: Environment) -> None:
    """Also not those by which a reader might keep what came, beside what it read of that."""
    names = ["x", "raw x", "raw", "_raw", "reason", "_reason", "typed", "literal"]
    declared = source(dict.fromkeys(names, "int64?"))
    good = f"1,{AT},{','.join('12345678')}"
    bad_one = f"2,{AT},{','.join('1234567')},n/a"
    rows, bad = enforce(declared, delivery(environment, declared, good, bad_one), DAY)
    assert rows.select(names).rows() == [tuple(range(1, 9))]
    assert said(bad) == ["column 'literal': came 'n/a', wanted int64?"]
    assert list(json.loads(bad[0].row)) == ["id", "at", *names]
    assert json.loads(bad[0].row) | {"at": AT} == {
        "id": "2", "at": AT, **dict(zip(names, "1234567", strict=False)), "literal": "n/a",
    }  # fmt: skip


def test_a_long_value_is_read_also_beside_what_does_not_fit(environment: Environment) -> None:
    declared, long = source({"v": "string"}), "a" * 3 * 2**20
    for more in ([], [f"x,{AT},"]):
        rows, _ = enforce(declared, delivery(environment, declared, f"1,{AT},{long}", *more), DAY)
        assert rows["v"].to_list() == [long]


def test_parquet_that_holds_times_as_texts(environment: Environment, tmp_path: Path) -> None:
    uri = (tmp_path / "rows.parquet").as_uri()
    texts = ["2013-01-01", "2013-01-01T06:00:00Z", "2013-01-01 06:00:00.5+00:00"]
    parquet.write(uri, pa.table({"id": [0, 1, 2], "at": texts}))
    changes = {"kind": "parquet", "params": {"path": uri}}
    declared = source({}).model_copy(update=changes)
    (found,) = read("s", declared, DAY, environment)
    rows, bad = enforce(declared, found, DAY)
    assert (rows.height, bad) == (3, [])


def test_a_bad_row_of_a_year_that_python_does_not_have_is_shown(
    environment: Environment, tmp_path: Path
) -> None:
    uri = (tmp_path / "rows.parquet").as_uri()
    far = pa.scalar(569_000_000_000_000_000, pa.timestamp("us", "UTC"))
    good = pa.scalar(datetime(2013, 1, 1, 6, tzinfo=UTC), far.type)
    parquet.write(uri, pa.table({"id": ["x", "2"], "at": [good, good], "v": [far, good]}))
    changes = {"kind": "parquet", "params": {"path": uri}}
    declared = source({"v": "timestamp"}).model_copy(update=changes)
    (found,) = read("s", declared, DAY, environment)
    rows, (bad,) = enforce(declared, found, DAY)
    assert rows["id"].to_list() == [2]
    assert "20000-11-22 03:33:20" in json.loads(bad.row)["v"]
