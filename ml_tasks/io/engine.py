"""Runs ibis expressions and the SQL expressions of a pipeline on DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from datetime import datetime

    import ibis
    import pyarrow as pa

    from ml_tasks.result import Window

THREADS = 2
"""Fixed, so that a result does not depend on the machine."""


def compute(
    build: Callable[[Mapping[str, ibis.Table], datetime, datetime], ibis.Table],
    raw: Mapping[str, pa.Table],
    window: Window,
) -> pa.Table:
    """Build an expression over Arrow tables and give its rows, in no certain order."""
    import ibis

    engine = ibis.duckdb.connect(threads=THREADS)
    try:
        engine.raw_sql("SET TimeZone = 'UTC'")
        tables = {name: ibis.memtable(table) for name, table in raw.items()}
        return engine.to_pyarrow(build(tables, window.start, window.end))
    finally:
        engine.disconnect()


def evaluate(rows: pa.Table, expressions: Mapping[str, str]) -> pa.Table:
    """Evaluate SQL expressions row by row.

    Args:
        rows: What the expressions may name the columns of.
        expressions: Name of a result column and its expression.

    Returns:
        A table with one column an expression and the rows in their order.

    Raises:
        ConfigError: An expression is wrong; names it and what DuckDB says.
    """
    import duckdb
    import pyarrow as pa

    with duckdb.connect(config={"threads": THREADS}) as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.register("rows", rows)
        columns = {}
        for name, expression in expressions.items():
            try:
                found = engine.sql(f"SELECT ({expression}) AS value FROM rows").to_arrow_table()  # noqa: S608 - the expression is the pipeline's own
            except duckdb.Error as fault:
                why = str(fault).splitlines()[0]
                raise ConfigError(f"expression {name}: came {expression!r}: {why}") from fault
            columns[name] = found["value"]
    return pa.table(columns)
