"""Databases of Airflow and MLflow that are made, and changed, whole or not at all."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING

import psutil
import pytest
import sqlalchemy as sa

from ml_tasks.config import ROOT, Environment
from ml_tasks.errors import BackendError
from perennial import databases
from perennial.processes import MARK
from perennial.services import Services
from perennial.state import BESIDE

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

MIGRATE = (
    "import os, sys; from pathlib import Path; from perennial import databases; "
    "databases.migrate([sys.argv[1]], os.environ, Path(sys.argv[2]))"
)
LATE = {"mlflow": "trace_info", "airflow": "log"}
"""A table that is made when many others are there, and some are not."""
ENDS = {
    "mlflow": lambda pid: os.kill(pid, signal.SIGINT),  # a child of its own is to end with it
    "airflow": lambda pid: os.killpg(pid, signal.SIGKILL),
}


class Place(SimpleNamespace):
    """A home whose databases are files."""

    name: str
    home: Path
    told: Mapping[str, str]

    @property
    def file(self) -> Path:
        return self.home / f"{self.name}.db"

    @property
    def drafts(self) -> list[Path]:
        found = self.home.glob(f".{self.name}.db*")
        return [one for one in found if not one.name.endswith(BESIDE)]

    def migrate(self) -> None:
        databases.migrate([self.name], self.told, self.home)

    def begin(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", MIGRATE, self.name, str(self.home)],
            cwd=ROOT,
            env={**os.environ, **self.told},  # noqa: TID251 - a child's environment
            start_new_session=True,
        )

    def read(self, query: str) -> set[str]:
        with closing(sqlite3.connect(self.file)) as opened:
            return {str(row[0]) for row in opened.execute(query)}


@pytest.fixture(params=ENDS)
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    home = tmp_path / "a new home"
    return Place(name=request.param, home=home, told=Services(Environment(home=home)).environ())


def tables(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as opened:
        return {name for (name,) in opened.execute("select name from sqlite_master")}


def half_made(place: Place, begun: subprocess.Popen[bytes]) -> None:
    limit = time.monotonic() + 120
    while not any(LATE[place.name] in tables(one) for one in place.drafts):
        assert begun.poll() is None
        assert time.monotonic() < limit, "nothing was made"
        time.sleep(0.01)


def test_ended_at_half_it_is_made_anew(place: Place) -> None:
    """What lies beside it is somebody's; what SQLite left of one that is gone is nobody's."""
    place.home.mkdir(exist_ok=True)
    kept = [place.home / f"{place.name}.db{end}" for end in ("-old", ".old", "-wal")]
    for one in kept:
        one.write_text("before")
    with place.begin() as first:
        half_made(place, first)
        (child,) = psutil.Process(first.pid).children()
        assert child.environ()[MARK] == str(place.home)
        ENDS[place.name](first.pid)
        first.wait(30)
    assert psutil.wait_procs([child], 30)[1] == []
    assert not place.file.exists()
    assert place.drafts
    place.migrate()
    assert place.drafts == []
    assert [one.exists() for one in kept] == [True, True, False]
    assert len(place.read("select version_num from alembic_version")) == 1
    with closing(sqlite3.connect(place.file)) as opened:
        opened.execute("create table own as select 'kept' as word")
        opened.commit()
    place.migrate()
    assert place.read("select word from own") == {"kept"}

    # As after an upgrade: nobody has said yet that this version's schema is there.
    (mark,) = (place.home / "migrated").glob(f"{place.name}-*")
    mark.unlink()
    place.migrate()
    assert mark.is_file()
    assert place.read("select word from own") == {"kept"}
    assert place.drafts == []


def test_one_that_cannot_be_changed_stays_as_it_is(tmp_path: Path) -> None:
    place = Place(name="mlflow", home=tmp_path, told=Services(Environment(home=tmp_path)).environ())
    with closing(sqlite3.connect(place.file)) as opened:
        opened.execute("create table alembic_version as select 'of a later version' version_num")
        opened.execute("create table runs (a)")
        opened.commit()
    before = place.file.read_bytes()
    with pytest.raises(BackendError, match=r"mlflow cannot be made or changed; see .*migrate\.log"):
        place.migrate()
    assert place.file.read_bytes() == before
    assert not [*(tmp_path / "migrated").glob("mlflow*")]


def test_one_that_was_lost_beneath_a_kept_home_is_made_again(
    new_database: Callable[[], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A making that is cut short after the table that tells is none."""
    made = "import os, sqlalchemy as sa\nwith sa.create_engine(os.environ[{!r}]).begin() as tx:\n"
    made += " tx.execute(sa.text('create table alembic_version (version_num text)'))"
    variable, address = databases.TOLD_BY["mlflow"], new_database()
    monkeypatch.setitem(databases.COMMANDS, "mlflow", ("-c", made.format(variable)))
    place = Place(name="mlflow", home=tmp_path, told={**os.environ, variable: address})  # noqa: TID251
    engine = sa.create_engine(address)
    for _ in range(2):
        place.migrate()
        place.migrate()  # what is there is left alone: the command would fail
        with engine.begin() as connection:
            connection.execute(sa.text("drop table alembic_version"))
    monkeypatch.setitem(databases.COMMANDS, "mlflow", ("-c", f"{made.format(variable)}\nexit(1)"))
    for _ in range(2):
        with pytest.raises(BackendError, match="mlflow cannot be made or changed"):
            place.migrate()
    engine.dispose()
