"""Logs of services and of Airflow's tasks."""

from __future__ import annotations

import time
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_tasks import config
from ml_tasks.errors import ConfigError, ExitCode
from perennial import console
from perennial.airflow_api import Airflow

if TYPE_CHECKING:
    from perennial.services import Services

POLL_SECONDS = 0.5
SHOWN = 5
"""Runs that are named where the one that was asked for is not there."""


def service(services: Services, name: str, lines: int, *, follow: bool) -> int:
    """Show the last lines of a service's log, and what comes after them.

    Raises:
        ConfigError: There is no such service, or it was never started.
    """
    if name not in services.names:
        raise ConfigError(f"service {name!r}: wanted one of {', '.join(services.names)}, or a DAG")
    file = Path(services.home) / "logs" / f"{name}.log"
    if not file.is_file():
        raise ConfigError(f"service {name}: no log {file} yet; start it by perennial up")
    with file.open(errors="replace") as stream:
        console.plain("".join(deque(stream, lines)).rstrip("\n"))
        while follow:
            if found := stream.read():
                console.plain(found.rstrip("\n"))
            time.sleep(POLL_SECONDS)
    return ExitCode.OK


def task(services: Services, dag: str, name: str, run: str, lines: int) -> int:
    """Show the log of a task's latest try.

    Where no task is named it is the first that failed, else the last that began.

    Raises:
        ConfigError: There is no such DAG, run or task.
    """
    airflow = Airflow(services)
    if not airflow.known(dag):
        raise ConfigError(
            f"DAG {dag!r}: Airflow has none of that name, wanted one of {_dags(services)}"
        )
    chosen = _run(airflow, dag, run)
    tasks = airflow.tasks(dag, chosen)
    found = _chosen(tasks, name)
    if found is None and not name:
        raise ConfigError(f"{dag}, run {chosen}: no task of it has begun yet")
    if found is None:
        names = [t["task_id"] for t in tasks]
        raise ConfigError(f"{dag}, run {chosen}: came task {name!r}, wanted one of {names}")
    console.say(f"[bold]{dag} {chosen} {found['task_id']}: {found['state']}[/bold]")
    for line in airflow.log(dag, chosen, found["task_id"], found["try_number"])[-lines:]:
        console.plain(line)
    return ExitCode.OK


def _dags(services: Services) -> list[str]:
    good, _faults = config.load_good(services.given.pipelines)
    purposes = ("ingestion", "intake", "monitoring", "training")
    return [f"{pipeline.name}__{purpose}" for pipeline in good for purpose in purposes]


def _run(airflow: Airflow, dag: str, wanted: str) -> str:
    """Give a run's id in Airflow: by that or by its name in paths; of the newest for none."""
    runs = airflow.runs(dag, wanted)
    # A backfill's runs are all there before the first of them begins.
    found = [str(one["dag_run_id"]) for one in runs if wanted or one["start_date"]]
    if wanted in found:
        return wanted
    if found:
        return found[0]
    if not wanted:
        raise ConfigError(f"DAG {dag!r}: no run of it has begun yet")
    newest = [str(one["dag_run_id"]) for one in airflow.runs(dag)[:SHOWN]]
    raise ConfigError(
        f"{dag}: came run {wanted!r}, wanted one such as {newest}; what `perennial run` does "
        "itself is no run of Airflow's: its log was what the command showed, and what failed "
        "can be entered again by `perennial repro`"
    )


def _chosen(tasks: list[dict[str, Any]], name: str) -> dict[str, Any] | None:
    if name:
        return next((t for t in tasks if t["task_id"] == name), None)
    began = [t for t in tasks if t["start_date"]]
    began.sort(key=lambda t: str(t["start_date"]))
    failed = [t for t in began if t["state"] == "failed"]
    return next(iter(failed or began[-1:]), None)
