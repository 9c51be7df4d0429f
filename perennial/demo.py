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
from perennial import console, doctor, summary
from perennial.airflow_api import Airflow
from perennial.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from ml_tasks.config import Pipeline
    from ml_tasks.io.control import Trigger
    from perennial.services import Services

CAUSE = "demo"
POLL_SECONDS = 1.0
DAG_SECONDS = 120
"""How long Airflow may take to read the DAG files, and an event to start a run."""
ENDED = ("success", "failed")


def run(services: Services, pipeline: Pipeline, until: str) -> int:
    """Do what is not done yet, and show what came of it.

    Raises:
        BackendError: A service ended or does not answer.
        RejectedError: A window or a training failed; with the task, the reason and what to do.
    """
    began, wanted = time.monotonic(), list(keys(pipeline, until))
    try:
        doctor.require(services)
        with console.waiting("starting") as show:
            services.up(lambda name, seconds: show(f"{name} ready after {seconds:.0f} s"))
        control, airflow = Control(services.environment.control), Airflow(services)
        loop = _Loop(services, pipeline, control, airflow)
        ingested = loop.ingest(wanted)
        trained, trigger = loop.train(until)
    except KeyboardInterrupt:
        with suppress(OSError):  # the terminal may be gone
            console.say("ending the services; make demo goes on from here")
        services.down()
        raise
    did = ingested or trained
    seconds = time.monotonic() - began
    console.say(f"done in {seconds:.0f} s" if did else "nothing to do: everything was done before")
    return summary.show(services, pipeline, trigger)


class _Loop:
    """The two halves of the demo."""

    def __init__(
        self, services: Services, pipeline: Pipeline, control: Control, airflow: Airflow
    ) -> None:
        self._services, self._pipeline = services, pipeline
        self._control, self._airflow = control, airflow

    def ingest(self, wanted: Sequence[str]) -> bool:
        """Bring in the windows that are missing; tell whether there were any."""
        name = self._pipeline.name
        missing = [key for key in wanted if key not in self._known()]
        if not missing:
            return False
        dag = f"{name}__ingestion"
        self._await_dags(dag, f"{name}__intake", f"{name}__training")
        for found in self._runs(dag, missing).values():
            if found["state"] == "failed":
                self._airflow.clear(dag, found["dag_run_id"])
        self._airflow.backfill(dag, missing[0], missing[-1])
        with Progress("windows", len(wanted)) as bar:
            while missing:
                time.sleep(POLL_SECONDS)
                self._alive()
                known = self._known()
                missing = [key for key in wanted if key not in known]
                runs = self._runs(dag, missing)
                self._stop_at_failure(dag, runs.values())
                bar.show(len(wanted) - len(missing), self._doing(dag, runs))
        return True

    def train(self, until: str) -> tuple[bool, Trigger]:
        """Ask for a training of all that is in, and follow it; tell whether it ran now."""
        name = self._pipeline.name
        dag, start = f"{name}__training", self._pipeline.schedule.start.isoformat()
        trigger = self._asked(f"{start}/{until}")
        if trigger is not None and trigger.run is not None:
            found = self._training(dag, trigger.run)
            if found is not None and found["state"] == "success":
                return False, trigger
            if found is not None and found["state"] == "failed":
                self._airflow.clear(dag, found["dag_run_id"])
        else:
            self._await_dags(f"{name}__intake", dag)
            why = "the demo's training"
            conf = {"cause": CAUSE, "window_start": start, "window_end": until, "why": why}
            self._airflow.start(f"{name}__intake", conf)
        steps = len(self._airflow.task_ids(dag))
        with Progress("training", steps) as bar:
            while True:
                time.sleep(POLL_SECONDS)
                self._alive()
                trigger = self._asked(f"{start}/{until}")
                run = self._training(dag, trigger.run) if trigger and trigger.run else None
                if run is None:
                    self._stop_at_failure(f"{name}__intake", self._newest(f"{name}__intake"))
                    self._stop_at_failure(dag, self._newest(dag))
                    continue
                tasks = self._airflow.tasks(dag, run["dag_run_id"])
                bar.show(sum(t["state"] in (*ENDED, "skipped") for t in tasks), _running(tasks))
                if run["state"] in ENDED and trigger is not None:
                    self._stop_at_failure(dag, [run])
                    return True, trigger

    def _known(self) -> set[str]:
        return {w.start[:10] for w in self._control.windows(self._pipeline.name)}

    def _asked(self, window: str) -> Trigger | None:
        found = self._control.triggers(self._pipeline.name)
        return next((t for t in found if (t.cause, t.window) == (CAUSE, window)), None)

    def _runs(self, dag: str, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Give the newest run of each of these windows, if it has one."""
        found: dict[str, dict[str, Any]] = {}
        for run in self._airflow.runs(dag):
            if run["partition_key"] in keys:
                found.setdefault(run["partition_key"], run)
        return found

    def _training(self, dag: str, run: str) -> dict[str, Any] | None:
        return next((r for r in self._airflow.runs(dag) if slug(r["dag_run_id"]) == run), None)

    def _newest(self, dag: str) -> list[dict[str, Any]]:
        return self._airflow.runs(dag)[:1]

    def _doing(self, dag: str, runs: dict[str, dict[str, Any]]) -> str:
        active = [r for r in runs.values() if r["state"] == "running"]
        if not active:
            return ""
        first = min(active, key=lambda r: r["partition_key"])
        tasks = self._airflow.tasks(dag, first["dag_run_id"])
        return f"week of {first['partition_key']}: {_running(tasks)}"

    def _await_dags(self, *dags: str) -> None:
        limit = time.monotonic() + DAG_SECONDS
        while missing := [dag for dag in dags if not self._airflow.known(dag)]:
            self._alive()
            if time.monotonic() > limit:
                raise BackendError(
                    f"Airflow has not read {', '.join(missing)} in {DAG_SECONDS} s; "
                    "see perennial logs dag-processor"
                )
            time.sleep(POLL_SECONDS / 4)

    def _alive(self) -> None:
        if dead := self._services.dead():
            raise BackendError(
                f"{', '.join(dead)} ended; see perennial logs {dead[0]}. The same command starts "
                "it again and goes on: nothing is lost"
            )

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


def keys(pipeline: Pipeline, until: str) -> Iterator[str]:
    """Give the starts of the windows that end by a day.

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
    while end <= last:
        yield f"{start:%Y-%m-%d}"
        start, end = end, walk.get_next(datetime)


def _running(tasks: Sequence[dict[str, Any]]) -> str:
    names = [t["task_id"] for t in tasks if t["state"] in ("running", "queued", "up_for_retry")]
    return ", ".join(names) or "between tasks"
