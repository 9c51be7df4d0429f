"""A scheduler that is killed while a task runs.

The services of `perennial up` run in a home of their own. A pipeline's `ingest` waits for its
source, a database that is locked. The scheduler with its whole process group is killed by signal 9
and started again by `perennial up` at once; when the task's body has begun anew, the database is
let go. Of the two bodies only one may come to its end. `scheduler_defaults` measures the same with
Airflow's own defaults, which takes minutes.
"""

from __future__ import annotations

import os
import signal
import sqlite3
import time
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

import psutil

from bench.measured import Measured
from bench.own_airflow import ended, running, wait_for
from ml_tasks.config import Environment
from ml_tasks.io import objects
from perennial.services import Services

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

WANTED_SECONDS = 45
STAY_SECONDS = 3
"""How long a body runs before the scheduler is killed, and two beside each other might."""
WHAT = (
    ("from the scheduler's restart to the lost task's new body", "s"),
    ("bodies of that task that came to their end", "times"),
)
NAME, DAG = "locked", "locked__ingestion"
PRODUCT = """\
name: locked
description: Rows of a database that is locked.
owner: bench
schedule: {{cron: "0 0 * * *", start: 2024-01-01, end: 2024-01-02}}
sources:
  rows:
    kind: sql
    params:
      url: sqlite:///{database}?timeout=900
      query: SELECT id, at, late FROM rows WHERE at >= :start AND at < :end
    key: [id]
    event_time: at
    known_at: [at]
    columns: {{id: int64, at: timestamp, late: int64}}
validation: {{tolerated_bad_share: 0}}
features: {{columns: [id]}}
label: {{source: rows, task: classification, expression: late > 0, known_at: at,
  asked_before_minutes: 0}}
split: {{validation_days: 1, test_days: 1}}
training: {{model: mlp}}
evaluation: {{metric: roc_auc, gates: [{{name: floor, params: {{metric: roc_auc, minimum: 0.5}}}}]}}
"""


def measure(folder: Path) -> Iterator[Measured]:
    """Kill the scheduler under a task, once."""
    database = folder / "source.db"
    with sqlite3.connect(database) as connection:
        connection.execute("CREATE TABLE rows (id INTEGER, at TEXT, late INTEGER)")
        connection.execute("INSERT INTO rows VALUES (1, '2024-01-01 12:00:00.000000', 1)")
    connection.close()
    (folder / "pipelines").mkdir()
    (folder / "pipelines" / f"{NAME}.yaml").write_text(PRODUCT.format(database=database))
    services = Services(Environment(home=folder / "home", pipelines=folder / "pipelines"))
    for (what, unit), found, most in zip(
        WHAT, drill(services, database), (WANTED_SECONDS, 1), strict=True
    ):
        yield Measured(what, found, "promised", most, unit, 1.0)


def drill(services: Services, database: Path) -> tuple[float, int]:
    """Kill the scheduler's group under `ingest` and start it again.

    Returns:
        Seconds from the restart to the second body's begin, and how many bodies ended well.
    """
    with running(services) as airflow:
        wait_for(lambda: airflow.known(DAG) or None, f"{DAG} is read", 120)
        with locked(database):
            airflow.backfill(DAG, "2024-01-01", "2024-01-01")
            first = wait_for(lambda: next(bodies(services, database), None), "the first body", 120)
            time.sleep(STAY_SECONDS)
            scheduler = services.processes.known()["scheduler"].pid
            os.killpg(scheduler, signal.SIGKILL)
            wait_for(lambda: "scheduler" in services.dead() or None, "the kill", 10)
            restarted = time.time()
            services.up(lambda name, took: print(f"  {name} is back after {took:.0f} s"))
            wait_for(
                lambda: next((b for b in bodies(services, database) if b.pid != first.pid), None),
                "the second body", 600,
            )  # fmt: skip
            begun = time.time()
            print("  the first body is", "there yet" if first.is_running() else "gone")
            time.sleep(STAY_SECONDS)
        run = airflow.runs(DAG)[0]["dag_run_id"]
        state = wait_for(lambda: ended(airflow, DAG, run, "ingest"), "ingest ends", 120)
        assert state == "success", f"ingest: {state}"
        time.sleep(STAY_SECONDS)
    return begun - restarted, len(ends(services))


@contextmanager
def locked(database: Path) -> Iterator[None]:
    """Let nobody read a database meanwhile."""
    connection = sqlite3.connect(database, isolation_level=None)
    connection.execute("BEGIN EXCLUSIVE")
    try:
        yield
    finally:
        connection.close()


def bodies(services: Services, database: Path) -> Iterator[psutil.Process]:
    """Give the warm launcher's children that wait for the database; a spare one does not."""
    warm = psutil.Process(services.processes.known()["warm"].pid)
    for child in warm.children():
        with suppress(psutil.Error):
            if str(database) in {file.path for file in child.open_files()}:
                yield child


def ends(services: Services) -> list[dict[str, Any]]:
    """Give the results that attempts of `ingest` left without an error."""
    root = f"{services.environment.objects_root}/runs/{NAME}"
    found = [o.uri for o in objects.find(root) if o.uri.endswith("/result.json")]
    results = [objects.read_result(uri) for uri in found if "/ingest/" in uri]
    return [r.model_dump() for r in results if r.error is None]
