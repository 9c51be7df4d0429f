"""Odd data: names that are patterns, times that are none, ids beside ids; nothing left behind."""

from __future__ import annotations

import errno
import math
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import polars as pl
import pytest
import yaml

from ml_tasks import config
from perennial.__main__ import main
from perennial.guesses import NAMED

if TYPE_CHECKING:
    from collections.abc import Callable

    Write = Callable[..., str]

ROWS = 400
LATEST = datetime(2013, 4, 10, 18, tzinfo=UTC)


def orders(**columns: Any) -> pl.DataFrame:
    """Orders, six hours apart; a column that is given replaces or adds one, `None` takes it out."""
    chance = np.random.default_rng(1)
    weights = chance.normal(size=ROWS)
    times = [LATEST - timedelta(hours=6 * (ROWS - 1 - row)) for row in range(ROWS)]
    table: dict[str, Any] = {
        "id": list(range(ROWS)),
        "at": [f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in times],
        "x": weights,
        "kind": chance.choice(["a", "b", "c"], ROWS).tolist(),
        "label": (weights + chance.normal(size=ROWS) > 0).astype(int),
    }
    return pl.DataFrame({n: v for n, v in (table | columns).items() if v is not None})


def texts(*of: str) -> list[str]:
    """One of some texts in each row."""
    return [str(one) for one in np.random.default_rng(2).choice(of, ROWS)]


@pytest.fixture
def csv(tmp_path: Path) -> Write:
    return partial(written, tmp_path / "orders.csv", pl.DataFrame.write_csv)


@pytest.fixture
def parquet(tmp_path: Path) -> Write:
    return partial(written, tmp_path / "orders.parquet", pl.DataFrame.write_parquet)


def written(place: Path, write: Callable[[pl.DataFrame, Path], object], **columns: Any) -> str:
    write(orders(**columns), place)
    return str(place)


def new(source: str, *more: str, name: str = "orders") -> int:
    return main(["new", "product", name, "--source", source, *more])


@pytest.mark.parametrize("day", ["9999-12-31T00:00:00Z", "0001-01-01T00:00:00Z"])
def test_a_time_that_stands_for_none_is_of_no_window(
    day: str, folder: Path, csv: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    times = orders()["at"].to_list()
    assert new(csv(at=[*times[:200], day, *times[201:]])) == 0
    said = capsys.readouterr().out
    assert "399 rows of 2013-01-01 to 2013-04-10" in said
    assert "1 rows are of no window: their times lie beyond 1900-01-01/2200-01-01" in said
    assert main(["config", "check"]) == 0
    schedule = config.load("orders", folder).schedule
    assert (f"{schedule.start}", f"{schedule.end}") == ("2013-01-01", "2013-04-10")


def test_many_times_that_stand_for_none_are_refused(
    folder: Path, csv: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    times = orders()["at"].to_list()
    assert new(csv(at=[*times[:380], *["9999-12-31T00:00:00Z"] * 20])) == 78
    said = capsys.readouterr().err
    assert "20 of 400 values, such as 9999-12-31T00:00:00Z, are no times of the years" in said
    assert not folder.exists()


@pytest.mark.parametrize("days", [4, 5])
def test_few_days_are_enough_for_what_each_gate_asks(days: int, folder: Path, csv: Write) -> None:
    times = [LATEST - timedelta(hours=24 * days * row / ROWS) for row in range(ROWS)]
    assert new(csv(at=[f"{at:%Y-%m-%dT%H:%M:%SZ}" for at in times])) == 0
    assert config.load("orders", folder).split.test_days == 2


@pytest.mark.parametrize("name", ["Customer ID", "customerId", "Order-ID", "order_id", "ID"])
def test_an_id_is_known_by_its_name(name: str, folder: Path, csv: Write) -> None:
    """It names each row, where a time that two rows share would take one of them away."""
    times = orders()["at"].to_list()
    ids = {name: [f"c{row * 7919 % ROWS}" for row in range(ROWS)]}
    assert new(csv(id=None, at=[*times[:-1], times[-2]], **ids)) == 0
    assert config.load("orders", folder).sources["orders"].key == (name,)


@pytest.mark.parametrize("name", ["paid", "valid", "monkey", "Grid", "humid"])
def test_words_that_end_alike_are_no_ids(name: str) -> None:
    assert not NAMED.fullmatch(name)


def test_times_that_python_lacks_are_refused_in_a_sentence(
    folder: Path, parquet: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    times = pl.Series(orders()["at"]).str.to_datetime(time_zone="UTC")
    far = pl.Series([2**58] * 40).cast(pl.Datetime("us", "UTC"))
    assert new(parquet(at=pl.concat([times[:360], far]))) == 78
    assert "40 of 400 values, such as +11103-" in capsys.readouterr().err
    assert new(parquet(at=pl.concat([far] * 10))) == 78
    assert not folder.exists()


def test_whole_numbers_beyond_64_bits_are_texts(folder: Path, csv: Write) -> None:
    """A number with a point would lose their last digits."""
    hashes = [f"{2**63 + row % 3}" for row in range(ROWS)]
    assert new(csv(hash=hashes, big=[f"{10**17 + row % 7}" for row in range(ROWS)])) == 0
    columns = config.load("orders", folder).sources["orders"].columns
    assert (columns["hash"], columns["big"]) == ("string", "int64")


@pytest.mark.parametrize("other", ["", "name: somebody_elses"])
def test_a_disk_without_links_will_do(
    other: str, folder: Path, csv: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(_source: Path, target: Path) -> None:
        if other:
            target.write_text(other)
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    assert new(csv()) == (78 if other else 0)
    (made,) = folder.iterdir()
    assert (other or "\nname: orders\n") in made.read_text()


@pytest.mark.parametrize("name", ["*", "^x$", "a\tb", "a\x07b", "a\0b", "n" * 300])
@pytest.mark.parametrize("value", ["NA", "0"])
def test_names_that_no_table_can_have(
    name: str, value: str, folder: Path, csv: Write, capsys: pytest.CaptureFixture[str]
) -> None:
    assert new(csv(**{name: texts("1", "2", value)})) == 78
    said = capsys.readouterr().err
    assert "column" in said
    assert "rename" in said
    assert said.count("\n") == 1
    assert not folder.exists()


@pytest.mark.parametrize(
    ("columns", "segments"),
    [
        ({"a b": "xyz", "a_b": "pqr"}, {"a_b": '"a b"', "a_b_2": '"a_b"'}),
        ({"null": "xyz"}, {"null": '"null"'}),
        ({"Yes": "xyz", "2013-01-01": "pqr"}, {"yes": '"Yes"', "2013_01_01": '"2013-01-01"'}),
        ({"kind": "xyz", "segment_kind": [1, 2, 3]}, {"kind_2": '"kind"'}),
        ({"kind": "xyz", "segment_kind": [1, 2, 3], "Segment_kind_2": [4, 5, 6]},
         {"kind_3": '"kind"'}),
    ],
)  # fmt: skip
def test_segments_have_names_of_their_own(
    columns: dict[str, Any], segments: dict[str, str], folder: Path, csv: Write
) -> None:
    told = {"kind": None} | {name: texts(*map(str, of)) for name, of in columns.items()}
    assert new(csv(**told)) == 0
    assert main(["config", "check"]) == 0
    made = config.load("orders", folder)
    assert made.evaluation.segments == segments
    assert set(columns) <= set(made.features.columns)


@pytest.mark.parametrize("name", ["null", "yes", "off"])
def test_a_product_may_be_called_what_yaml_reads_as_something_else(
    name: str, folder: Path, csv: Write
) -> None:
    assert new(csv(), name=name) == 0
    assert main(["config", "check", name]) == 0
    assert list(config.load(name, folder).sources) == [name]


def test_an_answer_of_two_lines(folder: Path, csv: Write) -> None:
    answers = texts("no", "yes,\nof course", "?!")
    assert new(csv(label=answers), "--positive", "yes,\nof course") == 0
    assert main(["config", "check"]) == 0
    assert config.load("orders", folder).label.expression == "\"label\" = 'yes,\nof course'"


def test_numbers_beyond_64_bits_are_texts(folder: Path, parquet: Write) -> None:
    hashes = pl.Series([2**63 + row for row in range(ROWS)], dtype=pl.UInt64)
    few = pl.Series([row % 7 for row in range(ROWS)], dtype=pl.UInt64)
    assert new(parquet(hash=hashes, few=few)) == 0
    made = config.load("orders", folder)
    assert made.sources["orders"].columns["hash"] == "string"
    assert made.sources["orders"].columns["few"] == "int64"
    assert made.features.columns == ("x", "kind", "few")


@pytest.mark.parametrize("write", ["csv", "parquet"])
def test_a_column_without_any_value_is_left_out(
    write: str, folder: Path, request: pytest.FixtureRequest
) -> None:
    to: Write = request.getfixturevalue(write)
    assert new(to(empty=pl.Series([None] * ROWS, dtype=pl.Null))) == 0
    made = config.load("orders", folder)
    assert made.sources["orders"].columns["empty"] == "string?"
    assert made.features.columns == ("x", "kind")
    assert "# left out: empty: no row has a value" in (folder / "orders.yaml").read_text()


SHUFFLED = np.random.default_rng(3).permutation(ROWS)


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({"row": list(range(ROWS))}, "it numbers the rows"),
        ({"row": [7 * row + row % 3 for row in range(ROWS)]}, "it numbers the rows"),
        ({"row": list(range(ROWS, 0, -1))}, "it numbers the rows"),
        ({"order_id": 1000 + SHUFFLED, "row": SHUFFLED},
         "a function of 'order_id', which is left out"),
        ({"order_id": 3 * SHUFFLED, "row": SHUFFLED / 8},
         "a function of 'order_id', which is left out"),
        ({"order_id": SHUFFLED**2, "row": SHUFFLED},
         "a function of 'order_id', which is left out"),
        ({"seen": orders()["at"], "row": [n * 3600.0 for n in range(ROWS)]},
         "a function of 'seen', which is left out"),
    ],
)  # fmt: skip
def test_what_an_id_tells_is_no_feature(
    columns: dict[str, Any], why: str, folder: Path, csv: Write
) -> None:
    uuids = [str(uuid5(NAMESPACE_OID, str(row))) for row in range(ROWS)]
    told = {"id": None, "uuid": uuids, **columns}
    assert new(csv(**told), "--event-time", "at") == 0
    made = config.load("orders", folder)
    assert made.sources["orders"].key == ("uuid",)
    assert made.features.columns == ("x", "kind")
    assert f"# left out: row: {why}\n" in (folder / "orders.yaml").read_text()


def test_what_is_in_the_order_of_the_key_may_be_a_trend(folder: Path, csv: Write) -> None:
    numbers = np.arange(ROWS)
    assert new(csv(id=3 * numbers, day=numbers // 4)) == 0
    made = config.load("orders", folder)
    assert made.sources["orders"].key == ("id",)
    assert made.features.columns == ("x", "kind", "day")


def test_what_is_left_out_as_told_by_another_tells_of_others(folder: Path, csv: Write) -> None:
    """The proof takes it for an outcome, whose order `day` keeps; of a key's order it does not."""
    numbers = np.arange(ROWS)
    assert new(csv(id=3 * numbers, day=numbers // 4, twice=2.5 * numbers)) == 0
    assert config.load("orders", folder).features.columns == ("x", "kind")
    said = (folder / "orders.yaml").read_text()
    assert "# left out: twice: a function of 'id', which is left out" in said
    assert "# left out: day: a function of 'twice', which is left out" in said


def test_numbers_that_no_id_tells_are_features(folder: Path, csv: Write) -> None:
    told = {
        "unlike": np.random.default_rng(4).permutation(9 * ROWS)[:ROWS],
        "season": [row // 30 for row in range(ROWS)],
        "wave": [math.sin(row) for row in range(ROWS)],
    }
    assert new(csv(order_id=SHUFFLED, **told)) == 0
    assert config.load("orders", folder).features.columns == ("x", "kind", *told)


def test_a_last_check_that_fails_leaves_nothing_behind(
    folder: Path, csv: Write, tmp_path: Path
) -> None:
    catalog = tmp_path / "home" / "catalog.db"
    catalog.parent.mkdir()
    catalog.write_text("no database")
    assert new(csv()) != 0
    assert list(folder.iterdir()) == []
    catalog.unlink()
    assert new(csv()) == 0


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interruption_leaves_nothing_behind(
    number: signal.Signals,
    folder: Path,
    csv: Write,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The last check waits for the prices, which nobody writes into the pipe.

    CPython loses an interruption that comes while an import calls back; a person asks
    again.
    """
    os.mkfifo(tmp_path / "prices.yaml")
    monkeypatch.setenv("PERENNIAL_PRICES", str(tmp_path / "prices.yaml"))
    words = ["new", "product", "orders", "--source", csv()]
    command = Path(sys.executable).with_name("perennial")
    run = subprocess.Popen([command, *words], stderr=subprocess.PIPE, text=True)
    try:
        until = time.monotonic() + 60
        while not (folder / "orders.yaml").exists():
            assert run.poll() is None
            assert time.monotonic() < until
            time.sleep(0.01)
        run.send_signal(number)
        with suppress(subprocess.TimeoutExpired):
            run.wait(timeout=20)
        run.send_signal(number)
        assert "interrupted" in run.communicate(timeout=40)[1]
    finally:
        run.kill()
        run.wait()
    assert run.returncode == 130
    assert list(folder.iterdir()) == []
    monkeypatch.delenv("PERENNIAL_PRICES")
    assert new(csv()) == 0
    assert yaml.safe_load((folder / "orders.yaml").read_text())["name"] == "orders"
