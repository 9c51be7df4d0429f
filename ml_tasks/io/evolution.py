"""How a table's columns change in place: added, widened, renamed; all else is refused."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

from ml_tasks.errors import ConfigError
from ml_tasks.io.backend import answering
from ml_tasks.io.commits import committed
from ml_tasks.io.scan import scanned

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa
    from pyiceberg.table import Table
    from pyiceberg.types import IcebergType

    from ml_tasks.result import Window

log = logging.getLogger(__name__)
_KINDS = {
    "int": "int32", "long": "int64", "float": "float32", "double": "float64",
    "timestamptz": "timestamp", "boolean": "bool",
}  # fmt: skip
"""Iceberg's names of types, and those of a pipeline's YAML."""


@dataclass(frozen=True, slots=True)
class Changes:
    """What a table lacks of what is wanted of it."""

    renamed: dict[str, str] = field(default_factory=dict)
    """Old name and new one; the column keeps its id, so that old rows are read under the new."""
    added: dict[str, IcebergType] = field(default_factory=dict)
    widened: dict[str, IcebergType] = field(default_factory=dict)
    replaced: dict[str, IcebergType] = field(default_factory=dict)
    """Columns that begin anew with another type: what can be derived again."""

    def __bool__(self) -> bool:
        """Tell whether there is anything to do."""
        return any((self.renamed, self.added, self.widened, self.replaced))


def changes(
    table: Table, wanted: pa.Schema, renamed: Mapping[str, str], *, derived: bool = False
) -> Changes:
    """Hold a table's columns against those that are wanted.

    What the table has beyond them stays, and is null in rows that come without it.

    Args:
        table: As it is now.
        wanted: Names and types.
        renamed: New name and the one before.
        derived: A column whose type cannot be widened begins anew instead of being refused.

    Raises:
        ConfigError: A type cannot be widened in place, or a name is not what it seems; a line each.
    """
    has = {column.name: column.field_type for column in table.schema().fields}
    made, faults = Changes(), []
    for new, old in renamed.items():
        if fault := _misnamed(new, old, has):
            faults.append(fault)
        elif new not in has:
            made.renamed[old] = new
            has[new] = has.pop(old)
    former = {} if derived else _former(table)
    for name, kind in zip(wanted.names, map(_type, wanted.types), strict=True):
        if name in has:
            _retype(made, name, has[name], kind)
        elif former.get(name, name) == name:
            made.added[name] = kind
        else:
            faults.append(
                f"column {name!r} is {former[name]!r} by now: declare that, or give what is new "
                "another name"
            )
    if not derived:
        faults += [_refused(name, has[name], kind) for name, kind in made.replaced.items()]
    if faults:
        where = ".".join(table.name())
        raise ConfigError("\n".join(f"lake table {where}: {fault}" for fault in faults))
    return made


def evolve(
    table: Table, schema: pa.Schema, renamed: Mapping[str, str], *, derived: bool = False
) -> Table:
    """Let a table take on the columns of a schema; where it has them nothing is done.

    Args:
        table: As it was loaded; afterwards it is as it has become.
        schema: Names and types.
        renamed: New name and the one before.
        derived: A column whose type cannot be widened begins anew instead of being refused.

    Raises:
        ConfigError: The table cannot take them on; says which, and what to do.
        BackendError: The table changed under every try.
    """

    def change(table: Table) -> None:
        if wanted := changes(table, schema, renamed, derived=derived):
            _apply(table, wanted)
            log.info("%s: columns changed: %s", ".".join(table.name()), wanted)

    return committed(table, change)


def _apply(table: Table, wanted: Changes) -> None:
    """Change the columns of the table as it was loaded.

    Nobody's rows are lost by it. The empty append that goes with it lets the newest snapshot, by
    which the table is read, have the columns as they are now.
    """
    from ml_tasks.io.transaction import Transaction

    with Transaction(table) as tx:
        with tx.update_schema(allow_incompatible_changes=bool(wanted.replaced)) as update:
            for old, new in wanted.renamed.items():
                update.rename_column(old, new)
            before = {new: old for old, new in wanted.renamed.items()}
            for name, kind in wanted.widened.items():
                update.update_column(before.get(name, name), field_type=kind)
            for name in wanted.replaced:
                update.delete_column(name)
            for name, kind in {**wanted.added, **wanted.replaced}.items():
                update.add_column(name, kind)
        if table.current_snapshot() is not None:
            tx.append(tx.table_metadata.schema().as_arrow().empty_table())


@answering("lake")
def read_as(
    table: Table,
    schema: pa.Schema,
    renamed: Mapping[str, str],
    *,
    window: Window | None = None,
    snapshot: int | None = None,
) -> pa.Table:
    """Read a table's rows in a declared form, whether or not the table has taken it on yet.

    Args:
        table: As it was loaded.
        schema: Names and types.
        renamed: New name and the one before.
        window: Only rows whose `event_time` lies in it.
        snapshot: As of this snapshot; the newest when not given.

    Raises:
        ConfigError: It cannot take on that form.
    """
    changes(table, schema, renamed)
    return conform(scanned(table, window, snapshot=snapshot), schema, renamed)


def conform(
    rows: pa.Table, wanted: pa.Schema, renamed: Mapping[str, str] | None = None
) -> pa.Table:
    """Give rows the wanted columns in order; what they lack is null, what else they have goes.

    Args:
        rows: In an earlier or a later form.
        wanted: Names and types.
        renamed: New name and the one before.
    """
    import pyarrow as pa

    columns, before = [], renamed or {}
    for one in wanted:
        name = one.name if one.name in rows.column_names else before.get(one.name, one.name)
        there = name in rows.column_names
        columns.append(rows[name].cast(one.type) if there else pa.nulls(rows.num_rows, one.type))
    return pa.table(columns, schema=wanted)


def _retype(made: Changes, name: str, has: IcebergType, wanted: IcebergType) -> None:
    from pyiceberg.exceptions import ResolveError
    from pyiceberg.schema import promote

    if has == wanted:
        return
    try:
        made.widened[name] = promote(has, wanted)
    except ResolveError:
        made.replaced[name] = wanted


@lru_cache(maxsize=64)
def _type(wanted: pa.DataType) -> IcebergType:
    from pyiceberg.io.pyarrow import _ConvertToIcebergWithoutIDs, visit_pyarrow

    return visit_pyarrow(wanted, _ConvertToIcebergWithoutIDs())


def _former(table: Table) -> dict[str, str]:
    """Give what the columns were called at any time, and what they are called now."""
    now = {column.field_id: column.name for column in table.schema().fields}
    return {
        column.name: now[column.field_id]
        for schema in table.metadata.schemas
        for column in schema.fields
        if column.field_id in now
    }


def _misnamed(new: str, old: str, has: Mapping[str, IcebergType]) -> str | None:
    if new in has and old in has:
        return (
            f"renamed_from {new!r}: {old!r}: it has both; rows were written under either name. "
            "Take it out of renamed_from"
        )
    if new not in has and old not in has:
        return (
            f"renamed_from {new!r}: {old!r}: it has neither, wanted one of {sorted(has)}: name the "
            "one that it bears there"
        )
    return None


def _refused(name: str, has: IcebergType, came: IcebergType) -> str:
    here = _KINDS.get(str(has), str(has))
    return (
        f"column {name!r} is {here} there, came {_KINDS.get(str(came), str(came))}: in place int32 "
        f"widens to int64 and float32 to float64, nothing else. Declare it {here}, or declare the "
        "new one beside it under another name"
    )
