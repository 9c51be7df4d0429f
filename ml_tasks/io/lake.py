"""The lake: Iceberg tables whose windows are published under a lease."""

from __future__ import annotations

import logging
from contextlib import nullcontext, suppress
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import sqlalchemy as sa

from ml_tasks.errors import BackendError, ConfigError
from ml_tasks.io import evolution
from ml_tasks.io.backend import answering
from ml_tasks.io.commits import TRIES, committed
from ml_tasks.io.content import EVENT_TIME, plain
from ml_tasks.io.database import Database
from ml_tasks.io.scan import newest, scanned
from ml_tasks.io.window_commit import New, added, brought

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager
    from datetime import datetime

    import pyarrow as pa
    from pyiceberg.catalog import Catalog
    from pyiceberg.table import Table

    from ml_tasks.config import Environment
    from ml_tasks.io.control import Lease
    from ml_tasks.result import Output, Window

T = TypeVar("T")
log = logging.getLogger(__name__)
FIXED = {
    # The library's own retries would rebase a commit without asking for the lease.
    "commit.retry.num-retries": "0",
}
"""Properties that each table has."""
PROPERTIES = {
    **FIXED,
    # Each read opens every manifest, and each window adds one.
    "commit.manifest-merge.enabled": "true",
    "commit.manifest.min-count-to-merge": "8",
    # Windows are what is asked for; of all else each file of a window has nearly everything. So
    # files come without statistics of texts, and the library would say so of each.
    "write.metadata.metrics.default": "none",
    f"write.metadata.metrics.column.{EVENT_TIME}": "full",
}
"""Properties that a table is made with; one that was made before, or elsewhere, lacks some."""


class Lake:
    """Named tables in one catalog."""

    def __init__(self, environment: Environment) -> None:
        """Remember where the catalog and the warehouse are; nothing is opened yet."""
        self._environment = environment

    @cached_property
    def catalog(self) -> Catalog:
        """The Iceberg catalog, opened at first use.

        Raises:
            BackendError: The catalog's database did not answer.
        """
        from pyiceberg.catalog.sql import SqlCatalog

        address = self._environment.catalog
        file = sa.make_url(address).database
        with answering("lake"), _first_alone(address):
            if address.startswith("sqlite") and file:
                Path(file).parent.mkdir(parents=True, exist_ok=True)
            return SqlCatalog(
                "lake",
                uri=address,
                warehouse=self._environment.warehouse_root,
                **self._environment.catalog_properties,
            )

    @answering("lake")
    def tables(self) -> list[str]:
        """Give every table's name, sorted."""
        spaces = self.catalog.list_namespaces()
        return sorted(".".join(name) for s in spaces for name in self.catalog.list_tables(s))

    @answering("lake")
    def find(self, table: str) -> Table | None:
        """Load a table's metadata as it is now; `None` where the lake has no such table."""
        from pyiceberg.exceptions import NoSuchTableError

        try:
            return self.catalog.load_table(table)
        except NoSuchTableError:
            return None

    @answering("lake")
    def read(
        self,
        table: str,
        *,
        window: Window | None = None,
        columns: Sequence[str] | None = None,
        snapshot: int | None = None,
    ) -> pa.Table:
        """Read a table's rows in the order in which they are stored.

        Args:
            table: `namespace.name`.
            window: Only rows whose `event_time` lies in it.
            columns: Only these columns.
            snapshot: As of this snapshot; the newest when not given.

        Raises:
            ConfigError: The lake has no such table.
        """
        return scanned(self.load(table), window, columns, snapshot)

    def evolve(
        self, table: str, schema: pa.Schema, renamed: Mapping[str, str] | None = None
    ) -> Table | None:
        """Let a table take on the columns of a schema; what else it has stays.

        No lease is asked for: whoever does it does the same, and takes nothing away.

        Args:
            table: `namespace.name`.
            schema: Names and types.
            renamed: New name and the one before.

        Returns:
            The table as it then is; `None` where there is none.

        Raises:
            ConfigError: The table cannot take them on; says which, and what to do.
            BackendError: The table changed under every try.
        """
        found = self.find(table)
        return None if found is None else evolution.evolve(found, schema, renamed or {})

    def snapshot(self, table: str) -> int:
        """Give the table's newest snapshot id.

        Raises:
            ConfigError: The lake has no such table, or nothing was ever published to it.
        """
        current = self.load(table).current_snapshot()
        if current is None:
            raise ConfigError(f"lake table {table}: nothing was published yet; ingest a window")
        return int(current.snapshot_id)

    @answering("lake")
    def latest(self, table: str) -> datetime | None:
        """Give the newest event time of a table; `None` when it is empty or not there."""
        found = self.find(table)
        return None if found is None else newest(found)

    def tag(self, table: str, snapshot: int, name: str, lease: Lease) -> None:
        """Name a snapshot, so that it never expires; the same tag again is no fault."""

        def change(loaded: Table) -> None:
            lease.check()
            if name not in loaded.refs():
                loaded.manage_snapshots().create_tag(snapshot, name).commit()

        committed(self.load(table), change)

    @answering("lake")
    def publish(
        self,
        table: str,
        rows: pa.Table,
        window: Window,
        lease: Lease,
        *,
        renamed: Mapping[str, str] | None = None,
        merge: Callable[[pa.Table, pa.Table], pa.Table] | None = None,
        properties: dict[str, str] | None = None,
    ) -> Output:
        """Replace one window of a table, whole or not at all; no commit where nothing changes.

        The lease is checked after each load and the loaded snapshot is the required parent of the
        commit, so that who lost the lease publishes nothing. A lease that was taken over moves
        the table first: otherwise the parent of the holder before would still be valid.

        Args:
            table: `namespace.name`; made from the rows' schema when it is not there, and given
                what columns of it are missing.
            rows: All rows of the window, with `event_time`, or what `merge` adds; timestamps in us,
                UTC.
            window: The half-open range of `event_time` that is replaced.
            lease: The caller's right to publish it.
            renamed: New name of a column and the one before.
            merge: Gives what the window is to hold from the rows that it has and these. It is
                asked again with each try: a window that overlaps may be published meanwhile.
            properties: Written to the snapshot's summary (run, task).

        Raises:
            LeaseLostError: Another attempt has the lease; nothing was changed.
            ConfigError: The rows have columns that the table cannot take on.
            BackendError: Every commit was refused because others published meanwhile.
        """
        rows = plain(rows)
        new = New(window, lambda had: merge(had, rows) if merge else rows, properties or {})
        loaded = self._fitted(table, rows.schema, renamed or {})
        return self._commit(loaded, partial(brought, new=new), lease)

    @answering("lake")
    def add(
        self,
        table: str,
        staged: Output,
        window: Window,
        lease: Lease,
        *,
        schema: pa.Schema,
        renamed: Mapping[str, str] | None = None,
        properties: dict[str, str] | None = None,
    ) -> Output | None:
        """Publish objects of a window's rows by copies of their bytes, as `publish` does rows.

        `staged` tells the hashes of their bytes and of all rows, `schema` the form that those are
        to have. Gives `None`, with nothing published, where the window has rows or the objects'
        columns are not numbered as the table's.

        Raises:
            RejectedError: An object's bytes are not those that were written.
        """
        bring = partial(added, staged=staged, window=window, properties=properties or {})
        return self._commit(self._fitted(table, schema, renamed or {}), bring, lease)

    def _commit(self, loaded: Table, bring: Callable[[Table], T], lease: Lease) -> T:
        """Commit under the lease, again wherever that is refused; give what came of it."""
        from pyiceberg.exceptions import CommitFailedException, ValidationException

        moved, table = not lease.took_over, ".".join(loaded.name())
        for _ in range(TRIES):
            lease.check()
            try:
                if moved:
                    return bring(loaded)
                loaded.append(loaded.schema().as_arrow().empty_table())
                moved = True
            except (CommitFailedException, ValidationException) as refused:
                log.info("%s: commit refused, trying again: %s", table, refused)
                loaded.refresh()
        raise BackendError(f"lake table {table}: {TRIES} commits were refused; try later")

    def load(self, table: str) -> Table:
        """Load a table's metadata as it is now.

        Raises:
            ConfigError: The lake has no such table.
        """
        found = self.find(table)
        if found is None:
            raise ConfigError(
                f"lake table {table}: there is none; it has {self.tables()}. Ingest a window first"
            )
        return found

    def _fitted(self, table: str, schema: pa.Schema, renamed: Mapping[str, str]) -> Table:
        """Load a table that has the columns and properties wanted: it is made, or takes them on."""
        from pyiceberg.exceptions import CommitFailedException, TableAlreadyExistsError

        found = self.find(table)
        if found is not None:
            return evolution.evolve(committed(found, _equip), schema, renamed)
        with suppress(sa.exc.IntegrityError):  # made by another task meanwhile
            self.catalog.create_namespace_if_not_exists(table.split(".")[0])
        try:
            return self.catalog.create_table(table, schema=schema, properties=PROPERTIES)
        except (TableAlreadyExistsError, CommitFailedException):
            log.info("%s: made by another task meanwhile", table)
        return evolution.evolve(committed(self.load(table), _equip), schema, renamed)


def _equip(table: Table) -> None:
    """Let a table have the properties that it lacks; those that somebody chose stay."""
    wanted = PROPERTIES | table.properties | FIXED
    if wanted != table.properties:
        with table.transaction() as tx:
            tx.set_properties(wanted)


def _first_alone(address: str) -> AbstractContextManager[object]:
    """Let one after the other open a catalog on a server: the first makes its tables."""
    if address.startswith("sqlite"):
        return nullcontext()
    return Database(address, "lake's catalog").alone("open")
