"""Clocks: days of 23 and of 25 hours, and a clock that is set back between two tasks."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

import polars as pl
import pytest
from ml_launch.warm_client import connect

from ml_tasks.errors import LeaseHeldError
from ml_tasks.io import runs
from ml_tasks.io.control import Control
from ml_tasks.sources import nycflights13
from tests.conftest import warm_launcher

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from conftest import Product, Row

    from ml_tasks.config import Environment

    Late = Callable[[int, list[str]], str]

HOME = "America/New_York"
DAY = 24 * 3600
COLUMNS = {
    "id": "int64", "at": "timestamp", "amount": "float64?", "shop": "string?", "late": "int64",
}  # fmt: skip
WINDOW = "2024-03-01/2024-03-31"


@pytest.mark.parametrize(
    ("month", "day", "hour", "times"), [(3, 10, 2, 0), (11, 3, 1, 2), (11, 3, 2, 1)]
)
def test_an_hour_that_the_clock_skips_or_shows_twice(
    month: int, day: int, hour: int, times: int
) -> None:
    """Weather comes hour by hour: what is shown twice is two hours, and neither is dropped."""
    sky = nycflights13.weather(nycflights13.data_folder()).filter(pl.col("origin") == "JFK")
    local = pl.col("observed_at").dt.convert_time_zone(HOME)
    found = sky.filter(local.dt.month() == month, local.dt.day() == day)
    assert found.filter(local.dt.hour() == hour).height == times
    steps = found["observed_at"].sort().diff().drop_nulls()
    assert steps.unique().to_list() == [timedelta(hours=1)]
    assert found.height == {3: 23, 11: 24}[month]


@pytest.mark.parametrize(("month", "day"), [(3, 10), (11, 3)])
def test_flights_of_such_a_day_keep_their_order_and_their_length(month: int, day: int) -> None:
    flights = nycflights13.flights(nycflights13.data_folder())
    departure = pl.col("scheduled_departure")
    local = departure.dt.convert_time_zone(HOME)
    found = flights.filter(local.dt.month() == month, local.dt.day() == day)
    assert found.height > 900
    assert not found.select("carrier", "flight", "origin", "scheduled_departure").is_duplicated(
    ).any()  # fmt: skip
    flown = found.filter(pl.col("landed_at").is_not_null())
    assert (flown["landed_at"] > flown["departed_at"]).all()
    planned = (flown["scheduled_arrival"] - flown["scheduled_departure"]).dt.total_minutes()
    assert ((planned - flown["air_time"]).is_between(0, 120)).mean() > 0.99


def test_the_hour_that_comes_twice(product: Product, parcels: list[Row]) -> None:
    """With its offset each is a moment of its own; without, the second one is no other."""
    ends = {"schedule": {"cron": "0 0 * * *", "start": "2024-11-01"}}
    product.change(**ends)
    product.source(key=["at", "items"], columns={**COLUMNS, "items": "int64"})
    told = [f"2024-11-03T01:30:00{offset}" for offset in ("-04:00", "-05:00")]
    for name, times in (("told.csv", told), ("bare.csv", ["2024-11-03T01:45:00"] * 2)):
        rows = [[row[0], at, row[2], "1", "north", "0"]
                for row, at in zip(parcels, times, strict=False)]  # fmt: skip
        product.deliver(rows, name=name)
    product.change(validation={"tolerated_bad_share": 0.5})
    product.all_of(("ingest", "validate"), window="2024-11-03/2024-11-04")
    came = sorted(product.lake.read("raw.parcels")["event_time"].to_pylist())
    assert [f"{at:%H:%M}" for at in came] == ["01:45", "05:30", "06:30"]
    assert all(at.tzinfo is not None and at.utcoffset() == UTC.utcoffset(None) for at in came)
    assert product.reasons() == ["key ['at', 'items'] came before in the same file"]


@pytest.fixture(scope="session")
def shifting(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library that gives a process a clock of its own."""
    compiler = shutil.which("cc")
    if compiler is None or not sys.platform.startswith("linux"):
        pytest.skip("no C compiler, or not Linux: a process cannot be given a clock of its own")
    library = tmp_path_factory.mktemp("clock") / "clock.so"
    source = Path(__file__).with_name("clock.c")
    subprocess.run([compiler, "-shared", "-fPIC", "-O1", "-o", library, source], check=True)
    return library


@pytest.fixture(scope="module")
def launcher(shifting: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Forks tasks, each with a clock of its own."""
    with warm_launcher(tmp_path_factory.mktemp("warm"), LD_PRELOAD=str(shifting)) as address:
        yield address


@pytest.fixture
def late_task(launcher: Path) -> Late:
    """Runs a task whose clock is behind by days; gives its log."""

    def run(days: int, arguments: list[str]) -> str:
        env = {**os.environ, "CLOCK_SHIFT": str(-days * DAY)}  # noqa: TID251 - a child's
        child = connect(launcher, arguments, env)
        assert child is not None
        said = child.lines.read()
        assert child.wait() == 0, said
        return said

    return run


@pytest.fixture
def late(shifting: Path) -> Late:
    """Runs a command whose clock is behind by days; gives its log."""

    def run(days: int, argv: list[str]) -> str:
        env = {**os.environ, "LD_PRELOAD": str(shifting), "CLOCK_SHIFT": str(-days * DAY)}  # noqa: TID251
        done = subprocess.run(
            [sys.executable, *argv], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout + done.stderr

    return run


def test_the_clock_is_a_day_behind(late: Late) -> None:
    said = late(1, ["-c", "import time, datetime; print(datetime.datetime.now().timestamp())"])
    assert 0.9 * DAY < time.time() - float(said) < 1.1 * DAY


@pytest.mark.timeout(900)
def test_each_task_begins_before_the_one_that_it_stands_on(
    make: Callable[[str], Product], mlflow_url: str, parcels: list[Row], late_task: Late
) -> None:
    """Nothing takes that for the results of an earlier run; the ledger is told what happened."""
    product = make(mlflow_url)
    product.bring_in(parcels)
    trigger = product.ask("t")
    tasks = (
        "claim", "assemble", "prove", "train", "baseline", "evaluate", "judge", "reference",
        "register", "promote", "record",
    )  # fmt: skip
    for days, task in enumerate(tasks):
        arguments, uri = product.arguments(task, run="t", trigger=trigger)
        late_task(days, arguments)
        product.results[task] = uri
    found = runs.results(product.environment, "parcels", "t")
    assert set(found) == set(tasks)
    began = [found[task].started for task in tasks]
    assert began == sorted(began, key=str, reverse=True)
    assert found["record"].values["failed"] is False
    done = product.control.trigger(trigger)
    head = product.control.champion("parcels")
    assert head is not None
    assert (done.state, done.outcome) == ("done", f"promoted version {head.version}")
    assert product.control.verify_audit() is None


def test_corrections_are_known_when_they_land_whatever_the_clock_says(
    product: Product, parcels: list[Row], late_task: Late
) -> None:
    product.bring_in(parcels)
    product.deliver([[*parcels[7][:2], "999", *parcels[7][3:]]], landed=9)
    for days, task in enumerate(("ingest", "validate", "derive", "materialise"), start=2):
        arguments, uri = product.arguments(task, run="later")
        late_task(days, arguments)
        product.results[task] = uri
    rows = [r for r in product.lake.read("raw.parcels").to_pylist() if r["id"] == 7]
    assert max(r["known_at"] for r in rows) == datetime(2024, 4, 9, tzinfo=UTC)
    assert len(rows) == 2
    history = product.lake.load("raw.parcels").history()
    assert history[-1].timestamp_ms < history[0].timestamp_ms, "the clock was behind indeed"
    assert product.lake.snapshot("raw.parcels") == history[-1].snapshot_id


def test_the_runner_goes_on_with_its_own_attempts(
    product: Product, parcels: list[Row], late: Late
) -> None:
    product.deliver(parcels)
    for days, task in ((0, "ingest"), (1, "validate"), (2, "ingest"), (3, "validate")):
        late(days, ["-m", "perennial", "run", task, "-p", "parcels", "--window", WINDOW])
    found = runs.results(product.environment, "parcels", "command-ingestion-2024-03-01-2024-03-31")
    assert {task: result.attempt for task, result in found.items()} == {"ingest": 2, "validate": 2}
    assert found["validate"].values["unchanged"] is True
    assert product.published() == 1200


def test_a_lease_from_before_the_clock_was_set_back_does_not_last_longer(
    environment: Environment,
) -> None:
    """Taken for what is by now a day ahead; who asks is told at first, and gets it after that."""
    control = Control(environment.control)
    control.migrate()
    killed = control.lease("x", holder="killed/t", attempt=1, seconds=DAY)
    killed.__enter__()
    with (
        pytest.raises(LeaseHeldError, match="killed/t, attempt 1 is publishing it now"),
        control.lease("x", holder="new/t", attempt=1, seconds=0.2),
    ):
        pass
    with control.lease("x", holder="new/t", attempt=1, seconds=0.2, wait=30) as lease:
        assert lease.took_over


def test_the_same_wish_is_one_trigger_whatever_the_clock_says(product: Product, late: Late) -> None:
    first = product.ask()
    script = (
        "from ml_tasks.config import Environment; from ml_tasks.io.control import Control; "
        f"c = Control(Environment().control); found, new = c.ask('parcels', 'test', {WINDOW!r}, "
        "who='r', evidence={}, replay='r'); print(found.id, new, c.claim(found.id, 'r').state)"
    )
    assert late(3, ["-c", script]).split() == [first, "False", "claimed"]
    assert [t.id for t in product.control.triggers("parcels")] == [first]
