"""The probe of programs that answer nobody, on Airflow's own table."""

from __future__ import annotations

import socket
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa
from airflow.jobs.job import Job

from ml_tasks.config import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable

HERE = socket.gethostname()
GOOD = {"job_type": "TriggererJob", "state": "running", "hostname": HERE, "ago": 1.0}


def code(database: str) -> int:
    return subprocess.run(
        [sys.executable, ROOT / "k8s" / "base" / "platform" / "heartbeat.py", "TriggererJob"],
        env={"AIRFLOW__DATABASE__SQL_ALCHEMY_CONN": database},
        check=False,
    ).returncode


@pytest.mark.parametrize(
    ("change", "wanted"),
    [
        ({}, 0),
        ({"hostname": f"{HERE}.airflow-triggerer.perennial-platform.svc.cluster.local"}, 0),
        ({"ago": 4.0}, 1),
        ({"state": "success"}, 1),
        ({"hostname": f"{HERE}-1"}, 1),
        ({"job_type": "SchedulerJob"}, 1),
    ],
)
def test_a_job_lives_that_beats_here(
    new_database: Callable[[], str], change: dict[str, object], wanted: int
) -> None:
    told = GOOD | change
    beat = datetime.now(UTC) - timedelta(minutes=float(str(told.pop("ago"))))
    database = new_database()
    engine = sa.create_engine(database, poolclass=sa.pool.NullPool)
    Job.__table__.create(engine)
    with engine.begin() as connection:
        connection.execute(sa.insert(Job.__table__).values(**told, latest_heartbeat=beat))
    assert code(database) == wanted


def test_a_database_that_is_away_kills_nobody() -> None:
    assert code("postgresql+psycopg://airflow:word@127.0.0.1:1/airflow") == 0
