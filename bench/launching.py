"""What our launcher adds to a task.

Two chains of eight tasks run in turn in one Airflow, under the settings and with the warm launcher
of `perennial up`. Those of the one are Airflow's own and do nothing (`bench/dags/bare.py`). Those
of the other (`bench/dags/launched.py`) go the whole way that a pipeline's task goes: the operator,
the command line, a process of its own, the result read back. Their work is `claim` of a trigger
that the run has claimed already: reading the product's YAML, two transactions, one result.
Processor time is that of all services together, what they do while they wait included.

The child that becomes a task of ours waits for it, forked and rehearsed: what its making costs is
in the processor time, with the task itself, which reads the YAML and control and writes its result,
and with Airflow's server, which is told one XCom more, the result's address.
"""

from __future__ import annotations

import statistics
from contextlib import suppress
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import psutil
from ml_launch import tree

from bench import ROOT
from bench.measured import Measured
from bench.own_airflow import ENDED, OwnServices, running, wait_for
from ml_tasks.config import Environment
from ml_tasks.io.control import Control

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from perennial.airflow_api import Airflow
    from perennial.services import Services

TASKS = 8
REPETITIONS = 7
WANTED = 1.2


def measure(folder: Path) -> Iterator[Measured]:
    """Run both chains in turn; each one's first run does not count."""
    environment = Environment(home=folder / "home")
    own = {"AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "bench" / "dags")}
    services = OwnServices(environment, own)
    found: dict[str, list[tuple[float, float]]] = {"launched": [], "bare": []}
    with running(services) as airflow:
        for dag in found:
            wait_for(partial(read, airflow, dag), f"{dag} is read", 120)
        control = Control(environment.control)
        for number in range(REPETITIONS + 1):
            trigger, _ = control.ask(
                "flight_delays", "bench", "2013-01-01/2013-02-01", who="bench", evidence={},
                replay=str(number),
            )  # fmt: skip
            for dag, measured in found.items():
                before = spent(services)
                run = airflow.start(dag, {"trigger": trigger.id})
                seconds = wait_for(partial(took, airflow, dag, run), run, 120)
                measured.append((seconds, spent(services) - before))
            print("  seconds, CPU:", {dag: measured[-1] for dag, measured in found.items()})
    for place, unit in enumerate(("s", "s CPU")):
        ours, theirs = (statistics.median(m[place] for m in both[1:]) for both in found.values())
        yield Measured(
            f"a chain of {TASKS} tasks with nothing to do", ours, "Airflow's own `@task`", theirs,
            unit, WANTED if unit == "s" else None,
        )  # fmt: skip


def read(airflow: Airflow, dag: str) -> bool | None:
    """Tell whether Airflow has read a DAG; `None` while it has not."""
    return airflow.known(dag) or None


def spent(services: Services) -> float:
    """Give the processor time of all services and of what they started."""
    family = [m for one in services.processes.known().values() for m in tree.members(one.pid)]
    total = 0.0
    for process in family:
        # What has ended meanwhile is in its parent's time.
        with suppress(psutil.NoSuchProcess):
            total += sum(process.cpu_times()[:4])
    return total


def took(airflow: Airflow, dag: str, run: str) -> float | None:
    """Give the seconds of a run that ended; `None` while it goes on."""
    (found,) = airflow.runs(dag, run)
    if found["state"] not in ENDED:
        return None
    assert found["state"] == "success", found
    return (_time(found, "end_date") - _time(found, "start_date")).total_seconds()


def _time(run: dict[str, Any], name: str) -> datetime:
    return datetime.fromisoformat(run[name])
