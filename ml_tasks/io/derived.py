"""Which features of a derived table hold for all its rows, and how far others have come.

A feature that is new is null in what was derived before. The table's properties say so until every
window has been derived again.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from ml_tasks.io import evolution
from ml_tasks.io.commits import committed

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    import pyarrow as pa
    from pyiceberg.table import Table

    from ml_tasks.io.lake import Lake

_COMPLETE, _ANEW = "perennial.complete", "perennial.derived-anew"


def lacking(table: Table | None, wanted: Collection[str]) -> list[str]:
    """Give the features that a table does not have for all its rows; none where it is not there."""
    return [] if table is None else sorted(set(wanted) - _complete(table, ()))


def take_on(lake: Lake, name: str, rows: pa.Table, features: Collection[str]) -> None:
    """Let a table take on the columns that its rows now have.

    What is not complete by that is noted before: killed in between, nobody takes it for complete.

    Args:
        lake: Where it is.
        name: `features.<name>`.
        rows: As they are derived now.
        features: Which of their columns are features.
    """
    table = lake.find(name)
    if table is None:
        return
    anew = evolution.changes(table, rows.schema, {}, derived=True).replaced
    known = _complete(table, set(rows.column_names) - set(features))
    still = (known & set(features)) - set(anew)
    new = _COMPLETE not in table.properties and set(features) - known
    if still != known or new:
        _note(table, {_COMPLETE: json.dumps(sorted(still)), _ANEW: ""})
    evolution.evolve(table, rows.schema, {}, derived=True)


def until(lake: Lake, name: str, features: Collection[str]) -> str:
    """Give the moment up to which windows were derived again for these very features."""
    noted = lake.load(name).properties.get(_ANEW)
    found = json.loads(noted) if noted else {}
    return str(found["until"]) if found.get("features") == sorted(features) else ""


def came(lake: Lake, name: str, features: Collection[str], moment: str) -> None:
    """Note that all windows up to a moment have been derived again."""
    said = json.dumps({"features": sorted(features), "until": moment})
    _note(lake.load(name), {_ANEW: said})


def finish(lake: Lake, name: str, features: Collection[str]) -> None:
    """Note that all windows have been derived again."""
    _note(lake.load(name), {_COMPLETE: json.dumps(sorted(features)), _ANEW: ""})


def _complete(table: Table, other: Collection[str]) -> set[str]:
    noted = table.properties.get(_COMPLETE)
    if noted is not None:
        return set(json.loads(noted))
    return {column.name for column in table.schema().fields} - set(other)


def _note(table: Table, properties: Mapping[str, str]) -> None:
    def change(loaded: Table) -> None:
        with loaded.transaction() as tx:
            tx.set_properties(dict(properties))

    committed(table, change)
