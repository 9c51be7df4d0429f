"""The databases of Airflow and MLflow: made, and brought to the installed versions' schema."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from sqlalchemy.engine import make_url

from ml_tasks.errors import BackendError
from perennial.processes import call

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

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

    Args:
        names: Whose: `airflow`, `mlflow`.
        environ: What both are told, with the address of their databases.
        home: Folder with the logs, and with the marks of what is done.

    Raises:
        BackendError: A database cannot be made or changed.
    """
    with ThreadPoolExecutor(len(PACKAGES)) as pool:
        list(pool.map(lambda name: _migrate(name, environ, home), names))


def _migrate(name: str, environ: Mapping[str, str], home: Path) -> None:
    address = environ[TOLD_BY[name]]
    url = make_url(address)
    file = Path(url.database) if url.get_backend_name() == "sqlite" and url.database else None
    mark = hashlib.sha256(address.encode()).hexdigest()[:8]
    done = home / "airflow" / f"migrated-{name}-{version(PACKAGES[name])}-{mark}"
    if file is not None and not file.exists():
        _make(name, file, environ, home)
    elif not done.is_file():
        _run(name, environ, home)
    done.parent.mkdir(parents=True, exist_ok=True)
    done.touch()


def _make(name: str, file: Path, environ: Mapping[str, str], home: Path) -> None:
    """Make a file of SQLite whole or not at all.

    It has no transaction over a whole schema, and of one that was left half made MLflow says for
    ever after that a column is there twice.
    """
    for pattern in ("-*", ".*.draft*"):
        for left in file.parent.glob(f"{file.name}{pattern}"):
            left.unlink(missing_ok=True)
    draft = file.with_name(f"{file.name}.{os.getpid()}.draft")
    _run(name, {**environ, TOLD_BY[name]: f"sqlite:///{draft}"}, home)
    with closing(sqlite3.connect(draft)) as whole:
        whole.execute("PRAGMA wal_checkpoint(TRUNCATE)")  # all of it in the one file
    draft.replace(file)


def _run(name: str, environ: Mapping[str, str], home: Path) -> None:
    log = home / "logs" / f"{name}-migrate.log"
    if call([sys.executable, *COMMANDS[name]], environ, log):
        raise BackendError(f"the database of {name} cannot be made or changed; see {log}")
