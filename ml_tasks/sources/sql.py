"""The answer of one query to a database that SQLAlchemy knows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from ml_tasks.config.numbers import Count
from ml_tasks.errors import BackendError, ConfigError
from ml_tasks.sources.delivery import Delivery

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    from sqlalchemy import URL, Connection

    from ml_tasks.config import Environment, Source
    from ml_tasks.result import Window


class Params(BaseModel):
    """Which rows of which database."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    url: str
    """SQLAlchemy address."""
    query: str
    """A SELECT with `:start` and `:end`, which are bound to the window's bounds in UTC."""
    batch_rows: Count = Field(default=50_000, gt=0)
    """Rows fetched at a time."""
    landed_at: str | None = None
    """Column that says when a row last changed: the latest value dates corrections. It is not
    a column of the schema. Without it the database's clock at the reading does."""

    @field_validator("query")
    @classmethod
    def _bounded(cls, query: str) -> str:
        if missing := [name for name in (":start", ":end") if name not in query]:
            raise ValueError(f"a query bound to the window: {missing} is not in it")
        return query


def read(
    source: Source,  # noqa: ARG001 - all readers share one signature
    params: Params,
    window: Window,
    environment: Environment,  # noqa: ARG001
) -> Iterator[Delivery]:
    """Give one delivery: the query's answer for the window."""
    return answer(params, window)


def answer(params: Params, window: Window) -> Iterator[Delivery]:
    """Give one delivery: the query's answer for the window.

    Raises:
        BackendError: The database did not answer.
        ConfigError: The address or the query is wrong.
    """
    from sqlalchemy import create_engine
    from sqlalchemy.exc import InterfaceError, OperationalError, SQLAlchemyError
    from sqlalchemy.pool import NullPool

    url = _url(params)
    try:
        engine = create_engine(url, poolclass=NullPool)
    except (SQLAlchemyError, ModuleNotFoundError) as fault:
        raise _no_url(fault) from fault
    where = url.render_as_string(hide_password=True)
    try:
        with engine.connect() as connection:
            yield _fetch(connection, params, window, where)
    except (OperationalError, InterfaceError) as fault:
        raise BackendError(f"sql source {where}: {fault.orig}") from fault
    except SQLAlchemyError as fault:
        raise ConfigError(f"sql source {where}: query: {fault}") from fault


def place(params: Params, environment: Environment) -> str:  # noqa: ARG001
    """Say which database is asked."""
    return _url(params).render_as_string(hide_password=True)


def _url(params: Params) -> URL:
    from sqlalchemy import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(params.url)
    except (ArgumentError, ValueError) as fault:
        raise _no_url(fault) from fault


def _no_url(fault: Exception) -> ConfigError:
    return ConfigError(f"sql source: came a wrong url, wanted an SQLAlchemy one: {fault}")


def _fetch(connection: Connection, params: Params, window: Window, where: str) -> Delivery:
    from sqlalchemy import DateTime, bindparam, func, select, text

    clock = connection.scalar(select(func.current_timestamp()))
    bounds = [bindparam(name, type_=DateTime(timezone=True)) for name in ("start", "end")]
    statement = text(params.query).bindparams(*bounds)
    answer = connection.execution_options(yield_per=params.batch_rows).execute(
        statement, {"start": window.start, "end": window.end}
    )
    landed: list[datetime] = []
    batches = []
    for part in answer.mappings().partitions(params.batch_rows):
        rows = [dict(row) for row in part]
        if params.landed_at:
            landed += _landed(params.landed_at, rows, where)
        batches.append(_batch(rows))
    at = max(landed) if landed else _moment(clock)
    return Delivery(where, at, tuple(batches), covers=window)


def _landed(name: str, rows: Sequence[dict[str, Any]], where: str) -> list[datetime]:
    """Take the column out of the rows; one that never changed may have none."""
    if name not in rows[0]:
        raise ConfigError(
            f"sql source {where}: landed_at: came {name!r}, wanted a column of the query's: "
            f"{list(rows[0])}"
        )
    told = [row.pop(name) for row in rows]
    try:
        return [_moment(value) for value in told if value is not None]
    except ValueError as fault:
        raise ConfigError(f"sql source {where}: landed_at {name!r}: {fault}") from fault


def _moment(value: Any) -> datetime:
    time = value if isinstance(value, datetime) else datetime.fromisoformat(str(value))
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _batch(rows: Sequence[Mapping[str, Any]]) -> pa.RecordBatch:
    import pyarrow as pa

    return pa.RecordBatch.from_pydict({name: _column([r[name] for r in rows]) for name in rows[0]})


def _column(values: list[Any]) -> pa.Array:
    """Give values as Arrow; where a database mixed types in a column, as text."""
    import pyarrow as pa

    try:
        return pa.array(values)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.array([None if v is None else str(v) for v in values])
