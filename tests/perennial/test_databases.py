"""Databases that are made whole or not at all."""

from __future__ import annotations

import os
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import closing
from typing import TYPE_CHECKING

from ml_tasks.config import ROOT
from perennial import databases

if TYPE_CHECKING:
    from pathlib import Path

MIGRATE = (
    "import sys; from pathlib import Path; from perennial import databases; "
    "databases.migrate([sys.argv[1]], {sys.argv[2]: sys.argv[3]}, Path(sys.argv[4]))"
)


def tables(file: Path) -> set[str]:
    with closing(sqlite3.connect(file)) as opened:
        return {name for (name,) in opened.execute("select name from sqlite_master")}


def test_one_that_was_left_half_made_is_made_anew(tmp_path: Path) -> None:
    home, file = tmp_path, tmp_path / "mlflow.db"
    told = {databases.TOLD_BY["mlflow"]: f"sqlite:///{file}"}
    with subprocess.Popen(
        [sys.executable, "-c", MIGRATE, "mlflow", *next(iter(told.items())), str(home)],
        cwd=ROOT,
        start_new_session=True,
    ) as first:
        limit = time.monotonic() + 120
        while not any("runs" in tables(one) for one in tmp_path.glob("mlflow.db.*.draft")):
            assert time.monotonic() < limit, "nothing was made"
            time.sleep(0.01)
        os.killpg(first.pid, signal.SIGKILL)
    (half,) = tmp_path.glob("mlflow.db.*.draft")
    assert not file.exists()
    databases.migrate(["mlflow"], told, home)
    assert not half.exists()
    assert "runs" in tables(file)
    with closing(sqlite3.connect(file)) as opened:
        assert opened.execute("select count(*) from alembic_version").fetchone() == (1,)
        opened.execute("create table kept (a)")
    databases.migrate(["mlflow"], told, home)
    assert "kept" in tables(file)
