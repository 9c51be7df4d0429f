"""A killed scheduler beside Airflow's own defaults.

The drill of `scheduler`, and the same with Airflow's own defaults for its scheduler: a task of
Airflow's own with the retries that ours have waits for a file, the scheduler's process group is
killed, a scheduler is started, and once the task's body has begun anew the file is there. It takes
some eight minutes and runs where it is named.
"""

from __future__ import annotations

import os
import signal
import time
from functools import partial
from typing import TYPE_CHECKING

from bench import ROOT, scheduler
from bench.measured import Measured
from bench.own_airflow import OwnServices, ended, running, wait_for
from ml_tasks.config import Environment

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

DAG, TASK = "waiting", "wait"


def measure(folder: Path) -> Iterator[Measured]:
    """Do the drill under our settings, then under Airflow's."""
    ours = [one.ours for one in scheduler.measure(folder)]
    own = {"AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "bench" / "dags")}
    services = OwnServices(Environment(home=folder / "defaults"), own, "AIRFLOW__SCHEDULER__")
    theirs = drill(services, folder)
    for (what, unit), mine, its in zip(scheduler.WHAT, ours, theirs, strict=True):
        yield Measured(what, mine, "Airflow's own defaults", its, unit)


def drill(services: OwnServices, folder: Path) -> tuple[float, int]:
    """Kill the scheduler's group under a task and start another.

    Returns:
        Seconds from the restart to the second body's begin, and how many bodies ended.
    """
    said = folder / "said"
    said.touch()
    with running(services) as airflow:
        wait_for(lambda: airflow.known(DAG) or None, f"{DAG} is read", 180)
        run = airflow.start(DAG, {"folder": str(folder)})
        wait_for(partial(times, said, "begin", 1), "the first body", 120)
        time.sleep(scheduler.STAY_SECONDS)
        os.killpg(services.processes.known()["scheduler"].pid, signal.SIGKILL)
        wait_for(lambda: "scheduler" in services.dead() or None, "the kill", 10)
        restarted = time.time()
        services.start("scheduler")
        begun = wait_for(partial(times, said, "begin", 2), "the second body", 900)
        time.sleep(scheduler.STAY_SECONDS)
        (folder / "go").touch()
        state = wait_for(partial(ended, airflow, DAG, run, TASK), f"{TASK} ends", 120)
        assert state == "success", f"{TASK}: {state}"
        time.sleep(scheduler.STAY_SECONDS)
    return begun[1] - restarted, len(times(said, "end", 0) or ())


def times(file: Path, word: str, least: int) -> list[float] | None:
    """Give when bodies began or ended, in order; `None` while there are fewer than wanted."""
    lines = [line.split() for line in file.read_text().splitlines()]
    found = sorted(float(time) for said, _pid, time in lines if said == word)
    return found if len(found) >= least else None
