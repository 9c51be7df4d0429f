"""Runs ibis expressions and the SQL expressions of a pipeline on DuckDB."""

from __future__ import annotations

import json
from functools import cache
from typing import TYPE_CHECKING, Any

from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from datetime import datetime

    import ibis
    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from ml_tasks.result import Window

THREADS = 2
"""Fixed, so that a result does not depend on the machine."""
CLOCKS = frozenset(
    {
        "current_date", "current_time", "current_timestamp", "current_localtime",
        "current_localtimestamp", "localtime", "localtimestamp",
    }
)  # fmt: skip
"""What SQL calls the time of day by a name alone."""


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
        ConfigError: An expression is wrong, or looks at more than its row; names it and what DuckDB
            says.
    """
    import duckdb
    import pyarrow as pa

    with duckdb.connect(config={"threads": THREADS}) as engine:
        engine.execute("SET TimeZone = 'UTC'")
        engine.register("rows", rows)
        columns = {}
        for name, expression in expressions.items():
            try:
                _require_row_by_row(engine, expression, rows.column_names)
                found = engine.sql(f"SELECT ({expression}) AS value FROM rows").to_arrow_table()  # noqa: S608 - the expression is the pipeline's own
            except duckdb.Error as fault:
                why = str(fault).splitlines()[0]
                raise ConfigError(f"expression {name}: came {expression!r}: {why}") from fault
            columns[name] = found["value"]
    return pa.table(columns)


def _require_row_by_row(
    engine: DuckDBPyConnection, expression: str, columns: Collection[str]
) -> None:
    """Make sure that a value depends on its own row alone: others are put in another order.

    Raises:
        duckdb.InvalidInputException: It looks at other rows, at the clock, or draws lots.
    """
    import duckdb

    asked = engine.execute("SELECT json_serialize_sql(?)", [f"SELECT ({expression})"])
    ((tree,),) = asked.fetchall()
    elsewhere = _elsewhere(), CLOCKS.difference(columns)
    found = sorted(set(_beyond_its_row(json.loads(tree), *elsewhere)))
    if found:
        raise duckdb.InvalidInputException(
            f"it has {', '.join(found)}, wanted what can be told from a row by itself"
        )
    # Aggregates that the tree does not show, as macros over them: a condition may have none.
    engine.execute(f"SELECT 1 FROM rows WHERE ({expression}) IS NULL LIMIT 0")  # noqa: S608 - as above


def _beyond_its_row(
    tree: object, functions: Collection[str], names: Collection[str]
) -> Iterator[str]:
    if isinstance(tree, list):
        for one in tree:
            yield from _beyond_its_row(one, functions, names)
    if not isinstance(tree, dict):
        return
    kind, name = tree.get("class"), tree.get("function_name")
    bare = ".".join(tree.get("column_names", ())) if kind == "COLUMN_REF" else ""
    if kind in ("WINDOW", "SUBQUERY", "STAR"):
        yield f"a {kind.lower()}"
    elif kind == "FUNCTION" and (name in functions or _is_age_today(tree)):
        yield f"{name}()"
    elif bare.lower() in names:
        yield bare
    for one in tree.values():
        yield from _beyond_its_row(one, functions, names)


def _is_age_today(tree: Mapping[str, Any]) -> bool:
    """Tell whether it is `age` of one time, which counts from today; of two it is a difference."""
    return bool(tree["function_name"] == "age" and len(tree["arguments"]) == 1)


@cache
def _elsewhere() -> frozenset[str]:
    """Give the functions that look at many rows, or say something else each time."""
    import duckdb

    named = duckdb.sql(
        "SELECT function_name FROM duckdb_functions() GROUP BY function_name "
        "HAVING bool_or(function_type = 'aggregate') OR bool_or(stability = 'VOLATILE') "
        "OR bool_or(stability = 'CONSISTENT_WITHIN_QUERY' AND len(parameter_types) = 0) "
        "OR bool_or(regexp_matches(macro_definition, 'current_|now\\(|random\\('))"
    ).fetchall()
    return CLOCKS | {"unnest", *(name for (name,) in named)}
