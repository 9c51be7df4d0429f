from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
import sqlalchemy as sa

from ml_tasks.config import Source
from ml_tasks.errors import BackendError, ConfigError
from ml_tasks.result import Window
from ml_tasks.sources import read
from ml_tasks.sources.schema import enforce

if TYPE_CHECKING:
    from pathlib import Path

    from ml_tasks.config import Environment
    from ml_tasks.sources.delivery import Delivery

WEEK = Window.parse("2013-01-01/2013-01-08")
QUERY = "SELECT id, at, note, changed FROM rows WHERE at >= :start AND at < :end ORDER BY id"


@pytest.fixture
def url(tmp_path: Path) -> str:
    address = f"sqlite:///{tmp_path}/source.db"
    metadata = sa.MetaData()
    rows = sa.Table(
        "rows",
        metadata,
        sa.Column("id", sa.Integer),
        sa.Column("at", sa.DateTime),
        sa.Column("note", sa.String),
        sa.Column("changed", sa.DateTime),
    )
    engine = sa.create_engine(address)
    metadata.create_all(engine)
    with engine.begin() as tx:
        for day in range(1, 12):
            moment = datetime(2013, 1, day, 12)
            values = {"id": day, "at": moment, "note": None, "changed": moment.replace(hour=18)}
            tx.execute(rows.insert().values(**values))
    return address


def fetch(environment: Environment, url: str, **more: object) -> list[Delivery]:
    source = Source(
        kind="sql",
        params={"url": url, "query": QUERY, "landed_at": "changed", **more},
        key=("id",),
        event_time="at",
        known_at=("at",),
        columns={"id": "int64", "at": "timestamp", "note": "string?"},
    )
    return list(read("s", source, WEEK, environment))


def test_the_window_is_bound_and_comes_in_batches(environment: Environment, url: str) -> None:
    (delivery,) = fetch(environment, url, batch_rows=3)
    assert [b.num_rows for b in delivery.batches] == [3, 3, 1]
    assert delivery.batches[0].schema.names == ["id", "at", "note"]
    assert delivery.landed_at == datetime(2013, 1, 7, 18, tzinfo=UTC)
    assert delivery.batches[0].column("note").type == pa.null()


@pytest.mark.parametrize(
    ("third", "wanted"), [("7", 7.0), ("7.5", 7.5), ("'seven'", None), ("NULL", None)]
)
def test_batches_whose_types_differ(
    environment: Environment, url: str, third: str, wanted: float | None
) -> None:
    """A column that is null all through one batch, a number in the next, a text in another."""
    value = f"CASE WHEN id < 3 THEN NULL WHEN id < 5 THEN 1 ELSE {third} END AS value"
    source = Source(
        kind="sql",
        params={"url": url, "query": QUERY.replace("note, changed", value), "batch_rows": 2},
        key=("id",),
        event_time="at",
        known_at=("at",),
        columns={"id": "int64", "at": "timestamp", "value": "float64?"},
    )
    (delivery,) = read("s", source, WEEK, environment)
    rows, rejected = enforce(source, delivery, WEEK)
    assert rows.filter(rows["id"] < 5)["value"].to_list() == [None, None, 1.0, 1.0]
    bad = 3 if third == "'seven'" else 0
    assert (rows.height, len(rejected)) == (7 - bad, bad)
    assert bad or rows["value"].to_list()[4:] == [wanted] * 3


def test_without_a_column_the_database_tells_the_time(environment: Environment, url: str) -> None:
    (delivery,) = fetch(environment, url, landed_at=None)
    assert delivery.landed_at.tzinfo is not None
    assert delivery.landed_at.year >= 2026


@pytest.mark.parametrize(
    ("more", "error", "message"),
    [
        ({"url": "no url"}, ConfigError, "came a wrong url"),
        ({"url": "sqlite:////proc/nowhere/x.db"}, BackendError, "unable to open database"),
        ({"query": "SELECT 1"}, ConfigError, r"params: query: .*':start', ':end'"),
    ],
)
def test_what_is_wrong_is_said(
    environment: Environment, url: str, more: dict[str, str], error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        fetch(environment, **{"url": url, **more})


def test_rows_that_never_changed_have_no_time_of_it(environment: Environment, url: str) -> None:
    with sa.create_engine(url).begin() as tx:
        tx.execute(sa.text("UPDATE rows SET changed = NULL WHERE id <> 2"))
    (delivery,) = fetch(environment, url)
    assert delivery.landed_at == datetime(2013, 1, 2, 18, tzinfo=UTC)
    with sa.create_engine(url).begin() as tx:
        tx.execute(sa.text("UPDATE rows SET changed = NULL"))
    (delivery,) = fetch(environment, url)
    assert (datetime.now(UTC) - delivery.landed_at).total_seconds() < 3600
    assert delivery.batches[0].schema.names == ["id", "at", "note"]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"landed_at": "nope"}, r"landed_at: came 'nope', wanted a column of the query's: \['id'"),
        ({"landed_at": "id"}, "landed_at 'id': Invalid isoformat string: '1'"),
        ({"url": "postgresql://here:port/x"}, "came a wrong url, wanted an SQLAlchemy one"),
    ],
)
def test_what_a_person_mistyped_is_said(
    environment: Environment, url: str, more: dict[str, str], said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        fetch(environment, **{"url": url, **more})
