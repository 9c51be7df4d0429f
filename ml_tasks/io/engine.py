"""Runs ibis expressions on DuckDB."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
