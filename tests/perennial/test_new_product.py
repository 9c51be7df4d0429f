"""What is guessed of data that nobody has described, and what is asked for where it cannot be."""

from __future__ import annotations

import gzip
import sqlite3
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import pstdev
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
import yaml

from ml_tasks import config
from ml_tasks.io import objects
from perennial.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[..., str]

DAYS = 40
START = datetime(2024, 3, 1, tzinfo=UTC)


def shop(**columns: Any) -> dict[str, list[Any]]:
    """Sales of two shops, day by day; a column that is given replaces or adds one."""
    n = 2 * DAYS
    table: dict[str, list[Any]] = {
        "day": [f"{START + timedelta(days=i // 2):%Y-%m-%d}" for i in range(n)],
        "shop": ["north" if i % 2 else "south" for i in range(n)],
        "visitors": [str(50 + i * 7 % 31) for i in range(n)],
        "rain": [("0.5", "NA", "1.25")[i % 3] for i in range(n)],
        "open": [("true", "false", "true")[i % 3] for i in range(n)],
        "code": ["007", "012"] * DAYS,
        "note": [f"text {i}" for i in range(n)],
        "same": ["x"] * n,
        "sold": [str(i * 5 % 17) for i in range(n)],
    }
    return {n: v for n, v in (table | columns).items() if v}


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def to(name: str = "sales.csv", separator: str = ",", **columns: Any) -> str:
        pl.DataFrame(shop(**columns)).write_csv(tmp_path / name, separator=separator)
        return str(tmp_path / name)

    return to


def new(source: str, *more: str, name: str = "sales") -> int:
    return main(["new", "product", name, "--source", source, *more])


def test_a_csv_is_looked_at_and_the_yaml_is_good(
    folder: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(write(), "--label", "sold") == 0
    said = capsys.readouterr().out
    assert "80 rows of 2024-03-01 to 2024-04-09" in said
    assert "perennial run ingestion -p sales --window 2024-03-01/2024-04-12" in said
    assert main(["config", "check"]) == 0
    made = config.load("sales", folder)
    source = made.sources["sales"]
    assert source.columns == {
        "day": "timestamp", "shop": "string", "visitors": "int64", "rain": "float64?",
        "open": "bool", "code": "string", "note": "string", "same": "string", "sold": "int64",
    }  # fmt: skip
    assert source.params["null_values"] == ["", "NA"]
    assert (source.event_time, source.key) == ("day", ("day", "shop"))
    assert made.features.service is None
    assert made.features.columns == ("shop", "visitors", "rain", "open", "code")
    assert made.label.task == "regression"
    assert made.schedule.cron == "0 0 * * 5"
    assert made.evaluation.segments == {"shop": '"shop"', "code": '"code"'}
    assert (made.split.test_days, made.split.validation_days, made.split.gap_days) == (10, 6, 0)


def test_what_was_guessed_is_marked_and_what_was_told_is_not(folder: Path, write: Write) -> None:
    assert new(write(), "--label", "sold", "--event-time", "day") == 0
    text = (folder / "sales.yaml").read_text()
    lines = {line.split(":")[0].strip(): line for line in text.splitlines() if ": " in line}
    assert "# guessed" in lines["key"]
    assert "# guessed" in lines["cron"]
    assert "# guessed" not in lines["event_time"]
    assert "# guessed" not in lines["expression"]
    assert "# left out: same: always the same" in text
    assert "# left out: note: 80 different texts" in text
    assert yaml.safe_load(text)["label"]["expression"] == '"sold"'


YES_NO = ["no", "no", "yes"] * 26 + ["no", "no"]


@pytest.mark.parametrize(
    ("columns", "more", "task", "expression"),
    [
        ({"label": YES_NO}, [], "classification", "\"label\" = 'yes'"),
        ({"y": ["1", "0"] * DAYS}, [], "classification", '"y"'),
        ({"Target": ["true", "false"] * DAYS}, [], "classification", '"Target"'),
        ({"sold": ["1", "2", "2", "2"] * 20}, ["--label", "sold"], "classification", '"sold" = 1'),
        ({"sold": ["1", "2"] * DAYS}, ["--label", "sold", "--task", "regression"], "regression",
         '"sold"'),
        ({"class": ["it's", "b", "c", "c"] * 20}, ["--positive", "it's"], "classification",
         "\"class\" = 'it''s'"),
    ],
)  # fmt: skip
def test_labels(
    columns: dict[str, Any], more: list[str], task: str, expression: str,
    folder: Path, write: Write,
) -> None:  # fmt: skip
    assert new(write(**columns), *more) == 0
    label = config.load("sales", folder).label
    assert (label.task, label.expression) == (task, expression)


NO_TIME = {"day": None}


@pytest.mark.parametrize(
    ("columns", "more", "said"),
    [
        ({}, [], "--label: no column is named label, target"),
        ({}, ["--label", "sould"], "--label sould: came no column, wanted one of"),
        ({}, ["--label", "same"], "--label same: came ['x'] in every row"),
        ({}, ["--label", "note"], "--label note: came 80 values, wanted a yes or no"),
        ({}, ["--label", "shop", "--positive", "east"], "--positive: came 'east', wanted one of"),
        ({}, ["--label", "shop", "--task", "regression"], "label shop is string, no number"),
        ({}, ["--label", "sold", "--task", "guess"], "--task: came 'guess', wanted classification"),
        ({}, ["--label", "sold", "--key", "x"], "--key: came ['x'], wanted some of"),
        ({}, ["--label", "sold", "--key", "rain"], "--key: ['rain'] are empty in some rows"),
        ({}, ["--label", "sold", "--key", "shop"],
         "--key shop: 78 of 80 rows bear the key of one before, such as {'shop': 'south'}; wanted"),
        ({}, ["--label", "sold", "--known-at", "shop"], "--known-at shop: came string, wanted a"),
        (NO_TIME, ["--label", "sold"],
         "no column says when a row happened: came shop (string, such as ['south'])"),
        ({"day": ["1-Mar-24"] * 80}, ["--label", "sold", "--event-time", "day"],
         "--event-time day: came string, such as ['1-Mar-24'], wanted a column of times in ISO"),
        ({"day": ["04/01/2024"] * 80}, ["--label", "sold", "--event-time", "day"],
         "--event-time day: came string, such as ['04/01/2024'], wanted a column of times in ISO"),
        ({"later": shop()["day"]}, ["--label", "sold", "--known-at", "x"], "--known-at x: came no"),
        ({"seen": shop()["day"]}, ["--label", "sold", "--event-time", "x"], "came no column"),
        ({"day": ["2024-03-01"] * 80}, ["--label", "sold"], "too near to each other to learn"),
        ({"day": None, "one": shop()["day"], "two": shop()["day"]}, ["--label", "sold"],
         "--event-time: several columns are times, wanted one of ['one', 'two']"),
        ({"shop": ["a"] * 80, "note": None, "visitors": None, "sold": ["1", "2"] * 40, "code": None,
          "open": None}, ["--label", "sold"], "--key: neither an id nor day with one or two of"),
        ({"shop": ["1"] * 70 + ["0"] * 10}, ["--label", "shop"], "would be the train part, with 1"),
        ({"Sold": ["1"] * 80}, ["--label", "sold"],
         "columns ['sold', 'Sold']: came names that differ in their case alone"),
        ({"known_at": ["1"] * 80}, ["--label", "sold"], "other names than ['known_at']"),
    ],
)  # fmt: skip
def test_what_cannot_be_guessed_is_asked_for_in_a_line(
    columns: dict[str, Any], more: list[str], said: str,
    folder: Path, write: Write, capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    assert new(write(**columns), *more) == 78
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not (folder / "sales.yaml").exists()


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ("nowhere.csv", "no file lies there"),
        ("nowhere.xls", "came '.xls', wanted one of"),
        ("empty.csv", "cannot be read: the file is empty, wanted a first line"),
        ("head.csv", "1 files without a row"),
        ("comment.csv", "1 files without a row; 2 lines are none: line has 2 values, wanted 1"),
        ("garbage.parquet", "Parquet magic bytes not found"),
        ("twice.csv", "columns ['a'] come twice"),
        ("ftp://x/y.csv", "--source ftp://…: files lie at file:// or s3://"),
        ("latin.csv", "no UTF-8 text: byte 0xf6 in line 1"),
        ("x/{week}/y.csv", "wanted path with only"),
        (".", "a folder with files of"),
    ],
)
def test_data_that_cannot_be_read(
    source: str, said: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, text in (
        ("empty.csv", ""),
        ("head.csv", "a,b\n"),
        ("comment.csv", "# from somewhere\na,b\n1,2\n"),
        ("garbage.parquet", "garbage, and no Parquet"),
        ("twice.csv", "a,a\n1,2\n"),
    ):
        (tmp_path / name).write_text(text)
    (tmp_path / "latin.csv").write_bytes("größe,a\n1,2\n".encode("latin-1"))
    assert new(source if "://" in source else str(tmp_path / source), "--label", "a") == 78
    err = capsys.readouterr().err
    assert said in err
    assert "Traceback" not in err
    assert not folder.exists()


def test_nothing_is_written_over(
    folder: Path, write: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(write(), "--label", "sold") == 0
    before = (folder / "sales.yaml").read_text()
    assert new(write(), "--label", "visitors") == 78
    assert "there is such a product already" in capsys.readouterr().err
    assert (folder / "sales.yaml").read_text() == before
    assert new(write(), "--label", "sold", name="No Slug") == 78
    assert "name: came 'No Slug', wanted lower case" in capsys.readouterr().err


def test_parquet_a_folder_and_a_dated_glob(folder: Path, tmp_path: Path) -> None:
    table = pl.DataFrame(shop()).with_columns(
        pl.col("day").str.to_date(), pl.col("visitors").cast(pl.Float32), id=pl.int_range(80)
    )
    for (day,), rows in table.partition_by("day", as_dict=True).items():
        (tmp_path / f"in/{day}").mkdir(parents=True)
        rows.write_parquet(tmp_path / f"in/{day}/part.parquet")
    table.write_parquet(tmp_path / "in/all.parquet")
    dated, whole = str(tmp_path / "in/{date}/*.parquet"), str(tmp_path / "in")
    assert new(dated, "--label", "sold", name="dated") == 0
    assert new(whole, "--label", "sold", name="whole") == 0
    one, two = (config.load(name, folder) for name in ("dated", "whole"))
    assert one.sources["dated"].params == {"path": f"file://{tmp_path}/in/{{date}}/*.parquet"}
    assert two.sources["whole"].params == {"path": f"file://{tmp_path}/in/*.parquet"}
    assert one.sources["dated"].columns == two.sources["whole"].columns
    assert one.sources["dated"].columns["visitors"] == "float64"
    assert one.sources["dated"].key == ("id",)
    assert "id" not in one.features.columns


def packed(path: str) -> str:
    plain = Path(path)
    plain.with_suffix(".csv.gz").write_bytes(gzip.compress(plain.read_bytes()))
    plain.unlink()
    return f"{path}.gz"


def test_packed_files_and_a_folder_of_them(folder: Path, write: Write, tmp_path: Path) -> None:
    assert new(packed(write("in.csv", separator=";")), "--label", "sold", name="file") == 0
    assert new(str(tmp_path), "--label", "sold", name="whole") == 0
    assert main(["config", "check", "file"]) == 0
    one, two = (config.load(n, folder).sources[n] for n in ("file", "whole"))
    assert one.params["path"] == f"file://{tmp_path}/in.csv.gz"
    assert two.params["path"] == f"file://{tmp_path}/*.csv.gz"
    assert one.params["delimiter"] == ";"
    assert one.columns == two.columns
    assert one.columns["rain"] == "float64?"


QUERY = "SELECT * FROM sales WHERE day >= :start AND day < :end"


def test_a_database(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    url = f"sqlite:///{tmp_path}/sales.db"
    table = pl.DataFrame(shop()).with_columns(pl.col("visitors", "sold").cast(pl.Int64))
    with sqlite3.connect(tmp_path / "sales.db") as database:
        database.execute(f"CREATE TABLE sales ({', '.join(table.columns)})")
        places = ", ".join("?" * table.width)
        database.executemany(f"INSERT INTO sales VALUES ({places})", table.rows())  # noqa: S608
    assert new(url, "--label", "sold", "--query", QUERY) == 0
    assert main(["config", "check"]) == 0
    source = config.load("sales", folder).sources["sales"]
    assert (source.kind, source.params) == ("sql", {"url": url, "query": QUERY})
    assert source.columns["visitors"] == "int64"
    assert source.key == ("day", "shop")
    capsys.readouterr()
    for more, said in (
        ([], "of a database came no --query, wanted a SELECT with :start and :end"),
        (["--query", "SELECT 1"], "--source and --query: query: came 'SELECT 1', wanted a query b"),
        (["--query", QUERY.replace("sales", "sails")], "no such table: sails"),
        (["--query", QUERY.replace("day <", "day > :start AND 1 >")], "files without a row"),
    ):
        assert new(url, "--label", "sold", *more, name="other") in (75, 78)
        err = capsys.readouterr().err
        assert said in err
        assert "Traceback" not in err
    assert not (folder / "other.yaml").exists()


def test_a_query_wants_a_database(write: Write, capsys: pytest.CaptureFixture[str]) -> None:
    assert new(write(), "--label", "sold", "--query", QUERY) == 78
    assert "wanted the address of a database, such as postgres" in capsys.readouterr().err


def test_files_in_a_bucket(
    folder: Path, write: Write, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://{host}:{port}")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", "us-east-1")
    import boto3

    boto3.Session().resource("s3").Bucket("shop").create()
    objects.write_bytes("s3://shop/2024/sales.csv", Path(write()).read_bytes())
    try:
        assert new("s3://shop/*/sales.csv", "--label", "sold") == 0
        assert main(["config", "check"]) == 0
        found = config.load("sales", folder).sources["sales"].params["path"]
        assert found == "s3://shop/*/sales.csv"
        assert new("s3://shop/*.parquet", "--label", "sold", name="none") == 78
        assert "--source s3://shop/*.parquet: no file lies there" in capsys.readouterr().err
        assert new("s3://nowhere/*.csv", "--label", "sold", name="none") == 78
        assert "Traceback" not in capsys.readouterr().err
    finally:
        server.stop()


def test_garbage_is_one_line(
    tmp_path: Path, folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    """Also where the parser would speak of the line on its own."""
    (tmp_path / "x.csv").write_bytes(b"a,b\n1,2\n\xff\xfe,3,4\n")
    assert new(str(tmp_path / "x.csv")) == 78
    said = capfd.readouterr().err
    assert said.count("\n") == 1
    assert said.endswith("x.csv: cannot be read: no UTF-8 text: byte 0xff in line 3\n")


def test_each_product_has_the_gate_against_leaks(folder: Path, write: Write) -> None:
    assert new(write(), "--label", "sold", name="one") == 0
    assert new(write(), "--label", "open", name="two") == 0
    for name in ("one", "two"):
        gates = config.load(name, folder).evaluation.gates
        assert gates[0].name == "no_leak"


def test_a_drift_that_may_cost_little_wakes_nobody(folder: Path, write: Write) -> None:
    assert new(write(), "--label", "sold", name="one") == 0
    assert new(write(), "--label", "open", name="two") == 0
    sold, opened = (config.load(n, folder).monitoring.alarms.least_loss for n in ("one", "two"))
    assert sold == pytest.approx(pstdev(int(n) for n in shop()["sold"]) / 100, rel=0.05)
    assert opened == 0.005


@pytest.mark.parametrize("most", [1e16, 1e200])
def test_numbers_too_large_for_a_floor_stop_nobody(folder: Path, write: Write, most: float) -> None:
    sold = [repr(i * 5 % 17 * most) for i in range(2 * DAYS)]
    assert new(write(sold=sold), "--label", "sold") == 0
    assert config.load("sales", folder).monitoring.alarms.least_loss == 0


def test_other_delimiters_and_lines_that_do_not_fit(
    folder: Path, write: Write, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source = write(separator=";", **{'a name, of "words"': ["1", "2"] * DAYS})
    with (tmp_path / "sales.csv").open("a") as file:
        file.write("2024-03-02;one;value;too;few\n")
    assert new(source, "--label", "sold") == 0
    assert "1 rows will go to quarantine; the first: line has 5 values" in capsys.readouterr().out
    assert config.load("sales", folder).sources["sales"].params["delimiter"] == ";"
    assert main(["config", "check"]) == 0
