"""The control database: engine, transactions, migrations."""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import sqlalchemy as sa

from ml_tasks.errors import BackendError, ConfigError
from ml_tasks.io.backend import damaged, said

if TYPE_CHECKING:
    from collections.abc import Iterator

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
VERSION_TABLE = "control_version"
BUSY_SECONDS = 30
STUCK_SECONDS = 60
PATIENCE = (
    f"-c lock_timeout={BUSY_SECONDS}s -c idle_in_transaction_session_timeout={STUCK_SECONDS}s "
    f"-c tcp_user_timeout={STUCK_SECONDS}s"
)
"""What Postgres is told: who stands still within a transaction loses it, and its locks."""


T = TypeVar("T")


class Database:
    """SQLite or Postgres, in which a transaction that reads and then writes is fenced."""

    def __init__(self, url: str, what: str = "control database") -> None:
        """Remember the address; nothing is opened yet.

        Args:
            url: SQLAlchemy address, such as `sqlite:////home/me/control.db`.
            what: What it is, for messages.
        """
        self.url, self._what = url, what

    @cached_property
    def engine(self) -> sa.Engine:
        """The engine; on SQLite transactions begin as writers, on Postgres rows are locked."""
        address = sa.make_url(self.url)
        file = address.database if address.get_backend_name() == "sqlite" else None
        if file and file != ":memory:":
            _make_folder(Path(file).parent)
        return _engine(address)

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Open one writing transaction.

        Raises:
            BackendError: The database did not answer or stayed locked.
            ConfigError: It is damaged, or none.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except (sa.exc.OperationalError, sa.exc.InternalError) as fault:
            raise BackendError(f"{self._what} {self._shown}: {said(fault.orig)}") from fault
        except sa.exc.DatabaseError as fault:
            if not damaged(fault):
                raise
            raise ConfigError(f"{self._what} {self._shown}: {said(fault.orig)}") from fault

    @contextmanager
    def alone(self, what: str) -> Iterator[sa.Connection]:
        """Open a transaction that waits for others of the same name: also where there is no row.

        Raises:
            BackendError: The database did not answer or stayed locked.
        """
        with self.transaction() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.select(sa.func.pg_advisory_xact_lock(_number(what))))
            yield connection

    @property
    def _shown(self) -> str:
        return sa.make_url(self.url).render_as_string(hide_password=True)

    def migrate(self) -> None:
        """Bring the schema to the newest version; many may call it at once.

        Raises:
            ConfigError: It is newer.
        """
        with self.alone("migrations") as connection:
            found, newest = _version(connection), _newest()
            if found == newest:
                return  # as nearly always: Alembic takes longer to import than this to say
            if found is not None and found > newest:
                raise ConfigError(
                    f"{self._what} {self._shown}: came with the schema {found}, wanted {newest} or "
                    "an older one: a newer version of the platform has made it; use that version, "
                    "or restore a backup from before"
                )
            from alembic import command
            from alembic.config import Config

            settings = Config()
            settings.set_main_option("script_location", str(MIGRATIONS))
            settings.attributes["connection"] = connection
            command.upgrade(settings, "head")


@lru_cache(maxsize=8)
def _engine(address: sa.URL) -> sa.Engine:
    """Make the engine of an address, once a process: another one would compile all statements anew.

    A connection each: task processes are many and live long, and a fork inherits none.
    """
    if address.get_backend_name() != "sqlite":
        # What the address itself asks for comes too: a schema of its own, for one.
        told = f"{address.query.get('options', '')} {PATIENCE}".strip()
        return sa.create_engine(address, poolclass=sa.pool.NullPool, connect_args={"options": told})
    engine = sa.create_engine(
        address, poolclass=sa.pool.NullPool, connect_args={"timeout": BUSY_SECONDS}
    )

    @sa.event.listens_for(engine, "connect")
    def _no_implicit_begin(connection: Any, _record: object) -> None:
        connection.isolation_level = None

    @sa.event.listens_for(engine, "begin")
    def _begin_as_writer(connection: sa.Connection) -> None:
        connection.exec_driver_sql("BEGIN IMMEDIATE")

    return engine


def _version(connection: sa.Connection) -> str | None:
    """Give the version of the schema; `None` where there is none yet."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    version: sa.Select[Any] = sa.select(sa.column("version_num")).select_from(
        sa.table(VERSION_TABLE)
    )
    found: str | None = connection.execute(version).scalar()
    return found


def _newest() -> str:
    """Give the newest version: migrations are numbered, and their files begin with the number."""
    return max(file.name.partition("_")[0] for file in (MIGRATIONS / "versions").glob("[0-9]*.py"))


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise BackendError(f"control database: {folder} cannot be made: {said(fault)}") from fault


def _number(name: str) -> int:
    """Give the number by which Postgres knows a lock."""
    return int.from_bytes(hashlib.sha256(name.encode()).digest()[:8], signed=True)


def forget(tx: sa.Connection, table: sa.Table, old: sa.ColumnElement[bool], *, dry: bool) -> int:
    """Take away rows that are old, or only count them; give how many."""
    wanted = sa.select(sa.func.count()).select_from(table).where(old)
    count = int(tx.execute(wanted).scalar_one())
    if not dry:
        tx.execute(table.delete().where(old))
    return count


def finite(value: Any) -> Any:
    """Give a value as JSON has it: `None` for numbers that are none, such as infinity.

    >>> finite({"gain": float("inf"), "windows": (0.7, float("nan"))})
    {'gain': None, 'windows': [0.7, None]}
    """
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {name: finite(one) for name, one in value.items()}
    return [finite(one) for one in value] if isinstance(value, list | tuple) else value


def clock(tx: sa.Connection) -> float:
    """Give the seconds since 1970 by one clock for all: on Postgres the server's."""
    if tx.dialect.name != "postgresql":
        return time.time()
    return float(tx.execute(sa.select(sa.extract("epoch", sa.func.clock_timestamp()))).scalar_one())


def now() -> str:
    """Give the present moment, ISO 8601 in UTC, in a form that sorts."""
    return datetime.now(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def records(kind: type[T], rows: sa.CursorResult[Any]) -> list[T]:
    """Give each row as one of a kind, by its columns' names; a mapping a row would take longer."""
    names = tuple(rows.keys())
    return [kind(**dict(zip(names, row, strict=True))) for row in rows]
