"""The databases of Airflow and MLflow: made, and brought to the installed versions' schema."""

from __future__ import annotations

import fcntl
import sqlite3
import sys
from contextlib import ExitStack, closing, contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy import create_engine, inspect
from sqlalchemy.engine import make_url
from sqlalchemy.exc import SQLAlchemyError

from ml_tasks.errors import BackendError
from ml_tasks.io.content import bytes_hash
from perennial.processes import MARK, begin
from perennial.state import BESIDE, MIGRATED

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Collection, Iterator, Mapping

PACKAGES = {"airflow": "apache-airflow", "mlflow": "mlflow"}
TOLD_BY = {"airflow": "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "mlflow": "MLFLOW_BACKEND_STORE_URI"}
# MLflow's own command wants the address, with its password, where all processes can read it.
COMMANDS = {
    "airflow": ("-m", "airflow", "db", "migrate"),
    "mlflow": (
        "-c",
        "import os; from mlflow.db import upgrade; "
        "upgrade([os.environ['MLFLOW_BACKEND_STORE_URI']])",
    ),
}


def migrate(names: Collection[str], environ: Mapping[str, str], home: Path) -> None:
    """Make databases, or bring them to the schema of the installed versions; once for a version.

    What is in a file of SQLite is changed whole or not at all: it has no transaction over a whole
    schema, and of one that was left half made MLflow says for ever after that a column is there
    twice. Nobody else may have such a file open.

    Args:
        names: Whose: `airflow`, `mlflow`.
        environ: What both are told, with the address of their databases.
        home: Folder with the logs, and with the marks of what is done.

    Raises:
        BackendError: A database cannot be made or changed.
    """
    with _alone(home), ExitStack() as after:
        found = [_Database(name, environ[TOLD_BY[name]], home) for name in names]
        begun = [(one, one.begun(environ, after)) for one in found if not one.done]
        for one, process in begun:
            if process.wait():
                raise BackendError(
                    f"the database of {one.name} cannot be made or changed; see {one.log}"
                )
            one.publish()


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """Keep other commands of this home from it meanwhile, whoever starts them."""
    (home / MIGRATED).mkdir(parents=True, exist_ok=True)
    with (home / MIGRATED / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@dataclass(frozen=True, slots=True)
class _Database:
    name: str
    address: str
    home: Path

    @property
    def log(self) -> Path:
        return self.home / "logs" / f"{self.name}-migrate.log"

    @property
    def file(self) -> Path | None:
        url = make_url(self.address)
        return Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None

    @property
    def own(self) -> str:
        """Tells this address from others, and says nothing of its password."""
        return bytes_hash(self.address.encode())[:32]

    @property
    def draft(self) -> Path | None:
        """Where a file is changed; named so that no backup takes it for state."""
        return self.file and self.file.with_name(f".{self.file.name}.{self.own}")

    @property
    def mark(self) -> Path:
        return self.home / MIGRATED / f"{self.name}-{version(PACKAGES[self.name])}-{self.own}"

    @property
    def done(self) -> bool:
        """Whether it has this version's schema: it was made, and has not been lost since."""
        there = self.file.exists if self.file else self._has_schema
        return self.mark.is_file() and there()

    def _has_schema(self) -> bool:
        engine = create_engine(self.address)
        try:
            return inspect(engine).has_table("alembic_version")
        except SQLAlchemyError:
            return False  # whoever is to change it says why it does not answer
        finally:
            engine.dispose()

    def begun(self, environ: Mapping[str, str], after: ExitStack) -> subprocess.Popen[bytes]:
        """Start to make or change it; a process that still runs in the end is killed."""
        self.mark.unlink(missing_ok=True)  # what is half made is not done
        address = self.address
        if self.file and self.draft:
            for left in (self.draft, *_beside(self.draft)):
                left.unlink(missing_ok=True)
            if self.file.exists():
                _copy(self.file, self.draft)
            address = f"sqlite:///{self.draft}"
        told = {**environ, TOLD_BY[self.name]: address, MARK: str(self.home)}
        process = begin([sys.executable, *COMMANDS[self.name]], told, self.log)
        after.callback(process.wait)
        after.callback(process.kill)
        return process

    def publish(self) -> None:
        """Let what was made or changed be the database."""
        if self.file and self.draft:
            with closing(_opened(self.draft)) as whole:
                whole.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all of it in the one file
            for left in _beside(self.file):
                left.unlink(missing_ok=True)  # all of theirs is in the copy that was changed
            self.draft.replace(self.file)
        self.mark.touch()


def _beside(file: Path) -> list[Path]:
    return [file.with_name(file.name + end) for end in BESIDE]


def _opened(file: Path) -> sqlite3.Connection:
    """Open a database that is there: SQLite would make an empty one of it."""
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True)


def _copy(file: Path, draft: Path) -> None:
    with closing(_opened(file)) as old, closing(sqlite3.connect(draft)) as new:
        old.backup(new)
        # Should all end between the two steps of publishing, the file alone is whole.
        old.execute("PRAGMA wal_checkpoint(TRUNCATE)")
