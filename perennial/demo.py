"""The whole loop on this machine: start, ingest, train, gate, promote; what is done is kept."""

from __future__ import annotations

import time
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from croniter import croniter
from ml_launch import capsule
from ml_launch.command import slug

from ml_tasks.errors import BackendError, ConfigError, RejectedError
from ml_tasks.io.control import Control
from perennial import console, doctor, spells, summary
from perennial.airflow_api import Airflow
from perennial.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from ml_tasks.config import Pipeline
    from ml_tasks.io.control import Trigger
    from perennial.services import Services

CAUSE = "demo"
POLL_SECONDS = 1.0
DAG_SECONDS = 120
"""How long Airflow may take to read the DAG files, and an event to start a run."""
PATIENCE_SECONDS = 1200
"""Longer than a task's heartbeat timeout and its retries, shorter than a person's evening."""
ENDED, ACTIVE = ("success", "failed"), ("queued", "running")
WHY = "the demo's training"


def run(services: Services, pipeline: Pipeline, until: str) -> int:
    """Do what is not done yet, and show what came of it.

    Raises:
        BackendError: A service ended or does not answer, or nothing goes on.
        RejectedError: A window or a training failed; with the task, the reason and what to do.
    """
    began, wanted = time.monotonic(), windows(pipeline, until)
    try:
        doctor.require(services)
        with console.waiting("starting") as show:
            services.up(lambda name, seconds: show(f"{name} ready after {seconds:.0f} s"))
        airflow = Airflow(services)
        loop = _Loop(services, pipeline, Control(services.environment.control), airflow)
        ingested = loop.ingest(list(wanted))
        trained, trigger = loop.train(next(reversed(wanted.values())))
    except KeyboardInterrupt:
        with suppress(OSError):  # the terminal may be gone
            console.say("ending the services; make demo goes on from here")
        services.down()
        raise
    did = ingested or trained
    seconds = time.monotonic() - began
    console.say(f"done in {seconds:.0f} s" if did else "nothing to do: everything was done before")
    if services.environment.launcher == "kubernetes":
        spells.show(airflow, services.environment, pipeline.name)
    return summary.show(services, pipeline, trigger)


class _Loop:
    """The two halves of the demo."""

    def __init__(
        self, services: Services, pipeline: Pipeline, control: Control, airflow: Airflow
    ) -> None:
        self._services, self._pipeline = services, pipeline
        self._control, self._airflow = control, airflow
        self._ingestion, self._intake, self._training = (
            f"{pipeline.name}__{flow}" for flow in ("ingestion", "intake", "training")
        )

    def ingest(self, wanted: Sequence[str]) -> bool:
        """Bring in the windows that are missing; tell whether there were any."""
        missing = self._missing(wanted)
        if not missing:
            return False
        self._await_dags(self._ingestion, self._intake, self._training)
        for run in self._runs(missing).values():
            if run["state"] in ENDED:
                self._airflow.clear(self._ingestion, run["dag_run_id"])
        waits = _Patience()
        with Progress("windows", len(wanted)) as bar:
            while missing:
                runs = self._runs(missing)
                self._stop_at_failure(self._ingestion, runs.values())
                if not any(run["state"] in ACTIVE for run in runs.values()):
                    # Refused while an older backfill is open: then asked again.
                    self._airflow.backfill(self._ingestion, missing[0], missing[-1])
                doing = self._doing(runs)
                bar.show(len(wanted) - len(missing), doing)
                waits.check((len(missing), doing), "the windows")
                self._rest()
                missing = self._missing(wanted)
            bar.show(len(wanted), "")
        return True

    def train(self, end: str) -> tuple[bool, Trigger]:
        """Ask for a training of all that is in, and follow it; tell whether it ran now."""
        window = f"{self._pipeline.schedule.start}/{end}"
        trigger = self._asked(window)
        run = self._trained(trigger)
        ended_well = run is None or run["state"] == "success"
        if trigger is not None and trigger.state == "done" and ended_well:
            return False, trigger
        if run is not None and run["state"] == "failed":
            self._airflow.clear(self._training, run["dag_run_id"])
        intake = "" if run else self._ask(end)
        waits, steps = _Patience(), len(self._airflow.task_ids(self._training))
        with Progress("training", steps) as bar:
            while True:
                self._rest()
                trigger = self._asked(window)
                run = self._trained(trigger)
                if run is None or trigger is None:
                    self._stop_at_failure(self._intake, self._airflow.runs(self._intake, intake))
                    waits.check("asked", "the training")
                    continue
                tasks = self._airflow.tasks(self._training, run["dag_run_id"])
                done = sum(t["state"] in (*ENDED, "skipped") for t in tasks)
                bar.show(done, _running(tasks))
                waits.check(done, "the training")
                if run["state"] in ENDED:
                    self._stop_at_failure(self._training, [run])
                    return True, trigger

    def _ask(self, end: str) -> str:
        """Ask for the training by the intake; give the intake's run."""
        self._await_dags(self._intake, self._training)
        start = self._pipeline.schedule.start.isoformat()
        conf = {"cause": CAUSE, "window_start": start, "window_end": end, "why": WHY}
        return self._airflow.start(self._intake, conf)

    def _missing(self, wanted: Sequence[str]) -> list[str]:
        known = {w.start[:10] for w in self._control.windows(self._pipeline.name)}
        return [key for key in wanted if key not in known]

    def _asked(self, window: str) -> Trigger | None:
        found = self._control.triggers(self._pipeline.name)
        return next((t for t in found if (t.cause, t.window) == (CAUSE, window)), None)

    def _runs(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Give the newest ingestion of each of these windows, if it has one."""
        found: dict[str, dict[str, Any]] = {}
        for run in self._airflow.runs(self._ingestion):
            if run["partition_key"] in keys:
                found.setdefault(run["partition_key"], run)
        return found

    def _trained(self, trigger: Trigger | None) -> dict[str, Any] | None:
        """Give the training that works for a trigger: the one that claimed it, else the newest."""
        if trigger is None:
            return None
        runs = self._airflow.runs(self._training, key=trigger.id)
        claimed = [r for r in runs if slug(r["dag_run_id"]) == trigger.run]
        return next(iter(claimed or runs), None)

    def _doing(self, runs: dict[str, dict[str, Any]]) -> str:
        active = [r for r in runs.values() if r["state"] == "running"]
        if not active:
            return ""
        first = min(active, key=lambda r: r["partition_key"])
        tasks = self._airflow.tasks(self._ingestion, first["dag_run_id"])
        return f"week of {first['partition_key']}: {_running(tasks)}"

    def _rest(self) -> None:
        time.sleep(POLL_SECONDS)
        if dead := self._services.dead():
            raise BackendError(
                f"{', '.join(dead)} ended; see perennial logs {dead[0]}. The same command starts "
                "it again and goes on: nothing is lost"
            )

    def _await_dags(self, *dags: str) -> None:
        limit = time.monotonic() + DAG_SECONDS
        while missing := [dag for dag in dags if not self._airflow.known(dag)]:
            if time.monotonic() > limit:
                raise BackendError(
                    f"Airflow has not read {', '.join(missing)} in {DAG_SECONDS} s; "
                    "see perennial logs dag-processor"
                )
            self._rest()

    def _stop_at_failure(self, dag: str, runs: Iterable[dict[str, Any]]) -> None:
        for run in runs:
            if run["state"] != "failed":
                continue
            name = run["dag_run_id"]
            failed = [t for t in self._airflow.tasks(dag, name) if t["state"] == "failed"]
            first = min(failed, key=lambda t: t["start_date"] or "", default=None)
            said = f"{dag}, {run['partition_key'] or name}: "
            if first is None:
                raise RejectedError(f"{said}the run failed; look at it in the UI")
            task = first["task_id"]
            raise RejectedError(
                f"{said}task {task} failed: {self._why(name, first)}\n"
                f"its log: perennial logs {dag} {name} {task}\n"
                "mend it and start the demo again: it goes on from here"
            )

    def _why(self, run: str, task: dict[str, Any]) -> str:
        """Give the reason that stands in the capsule, and how to enter the step again."""
        uri = capsule.address(
            self._services.environment,
            self._pipeline.name,
            slug(run),
            task["task_id"],
            task["try_number"],
        )
        try:
            return f"{capsule.read(uri).reason}\nto enter it again: perennial repro {uri}"
        except FileNotFoundError:
            return "it left no capsule"


class _Patience:
    """Ends a wait in which nothing changes any more."""

    def __init__(self) -> None:
        self._seen: object = None
        self._since = time.monotonic()

    def check(self, seen: object, what: str) -> None:
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()
        if time.monotonic() - self._since > PATIENCE_SECONDS:
            raise BackendError(
                f"{what}: nothing has changed for {PATIENCE_SECONDS // 60} minutes; look at the "
                "runs in Airflow's UI, see perennial status and perennial logs scheduler"
            )


def windows(pipeline: Pipeline, until: str) -> dict[str, str]:
    """Give the windows that end by a day: the day each begins at, and the day it ends before.

    Raises:
        ConfigError: The day is none, or no window ends by it.
    """
    try:
        last = datetime.fromisoformat(until).replace(tzinfo=UTC)
    except ValueError as fault:
        raise ConfigError(f"--until: came {until!r}, wanted a day such as 2013-06-04") from fault
    start = datetime.combine(pipeline.schedule.start, datetime.min.time(), UTC)
    walk = croniter(pipeline.schedule.cron, start)
    end = walk.get_next(datetime)
    if end > last:
        raise ConfigError(f"--until: came {until}, wanted {end:%Y-%m-%d} at least")
    found = {}
    while end <= last:
        found[f"{start:%Y-%m-%d}"] = f"{end:%Y-%m-%d}"
        start, end = end, walk.get_next(datetime)
    return found


def _running(tasks: Sequence[dict[str, Any]]) -> str:
    names = [t["task_id"] for t in tasks if t["state"] in ("running", "queued", "up_for_retry")]
    return ", ".join(names) or "between tasks"
