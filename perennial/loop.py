"""What commands do with a product's DAGs: bring windows in, ask for trainings, follow them."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from ml_launch import capsule
from ml_launch.command import slug

from ml_tasks.errors import BackendError, ConfigError, RejectedError, SourceError
from ml_tasks.io import runs as left
from ml_tasks.io.triggers import DONE
from perennial.airflow_api import PAGE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from ml_tasks.config import Pipeline
    from ml_tasks.io.control import Control, Trigger
    from perennial.airflow_api import Airflow
    from perennial.services import Services

    Show = Callable[[int, str], None]

POLL_SECONDS = 1.0
DAG_SECONDS = 120
"""How long Airflow may take to read the DAG files, and an event to start a run."""
PATIENCE_SECONDS = 1200
"""Longer than a task's heartbeat timeout and its retries, shorter than a person's evening."""
ENDED, ACTIVE = ("success", "failed"), ("queued", "running")


class Loop:
    """A product's DAGs, as somebody works with them who waits for what comes of it."""

    def __init__(
        self, services: Services, pipeline: Pipeline, control: Control, airflow: Airflow
    ) -> None:
        """Remember what it works with."""
        self._services, self._pipeline = services, pipeline
        self._control, self._airflow = control, airflow
        self._ingestion, self._intake, self._training, self._monitoring = (
            f"{pipeline.name}__{flow}" for flow in ("ingestion", "intake", "training", "monitoring")
        )
        self._without_run: set[str] = set()

    def ingest(self, wanted: Sequence[str], show: Show) -> bool:
        """Bring in the windows that are missing; tell whether there were any.

        Args:
            wanted: First days of the windows, oldest first.
            show: Told how many are in, and what is being done.
        """
        missing = self._missing(wanted)
        if not missing:
            return False
        self._await_dags(self._ingestion, self._intake, self._training)
        for run in self._runs(missing).values():
            if run["state"] in ENDED:
                self._airflow.clear(self._ingestion, run["dag_run_id"])
        waits = Patience()
        while missing:
            runs = self._runs(missing)
            self._stop_at_failure(self._ingestion, runs.values())
            if not any(run["state"] in ACTIVE for run in runs.values()):
                # Refused while an older backfill is open: then asked again.
                self._airflow.backfill(self._ingestion, missing[0], missing[-1])
            doing = self._doing(runs)
            show(len(wanted) - len(missing), doing)
            waits.check((len(missing), doing), "the windows")
            self._rest()
            missing = self._missing(wanted)
        show(len(wanted), "")
        return True

    def train(self, cause: str, window: str, why: str, show: Show) -> tuple[bool, Trigger]:
        """Ask for a training by the intake, and follow it; tell whether it ran now.

        Args:
            cause: What asks.
            window: `START/END`.
            why: For whoever reads the ledger later.
            show: Told how many tasks are done, and which one runs.
        """

        def asked() -> Trigger | None:
            found = self._control.triggers(self._pipeline.name)
            return next((t for t in found if (t.cause, t.window) == (cause, window)), None)

        start, end = window.split("/")
        conf = {"cause": cause, "window_start": start, "window_end": end, "why": why}
        return self._followed(asked, conf, show)

    def follow(self, trigger: str, show: Show) -> tuple[bool, Trigger]:
        """Follow the training of a trigger that stands in the ledger; tell whether it ran now."""
        limit = time.monotonic() + DAG_SECONDS
        while not self._trained(asked := self._control.trigger(trigger)):
            if asked.state == DONE or time.monotonic() > limit:
                break
            self._rest()
        return self._followed(lambda: self._control.trigger(trigger), {"trigger": trigger}, show)

    def watch(self, key: str, show: Show) -> None:
        """Follow the monitoring of a window that came in.

        Args:
            key: The window's first day.
            show: Told how many tasks are done, and which one runs.
        """
        self._await_dags(self._monitoring)
        asset, limit = f"features({self._pipeline.name})", time.monotonic() + DAG_SECONDS
        waits = Patience()
        while True:
            run = next(iter(self._airflow.runs(self._monitoring, key=key)), None)
            done = -1
            if run is not None:
                self._stop_at_failure(self._monitoring, [run])
                if run["state"] in ENDED:
                    return
                done = self._shown(self._monitoring, run, show)
            elif time.monotonic() > limit:
                # It came in without Airflow, or the event is lost.
                self._airflow.emit(asset, key, {})
                limit = time.monotonic() + DAG_SECONDS
            self._stop_if_paused(self._monitoring)
            waits.check(done, f"the monitoring of {key}")
            self._rest()

    def _followed(
        self, asked: Callable[[], Trigger | None], conf: dict[str, Any], show: Show
    ) -> tuple[bool, Trigger]:
        trigger = asked()
        run = self._trained(trigger)
        ended_well = run is None or run["state"] == "success"
        if trigger is not None and trigger.state == DONE and ended_well:
            return False, trigger
        if run is not None and run["state"] == "failed":
            self._airflow.clear(self._training, run["dag_run_id"])
        if run is None:
            self._await_dags(self._intake, self._training)
        intake = "" if run else self._airflow.start(self._intake, conf)
        waits = Patience()
        while True:
            self._rest()
            trigger = asked()
            run = self._trained(trigger)
            if run is None or trigger is None:
                self._stop_at_failure(self._intake, self._airflow.runs(self._intake, intake))
                waits.check("asked", "the training")
                continue
            waits.check(self._shown(self._training, run, show), "the training")
            if run["state"] in ENDED:
                self._stop_at_failure(self._training, [run])
                return True, trigger

    def steps(self) -> int:
        """Give how many tasks a training has."""
        return len(self._airflow.task_ids(self._training))

    def _shown(self, dag: str, run: dict[str, Any], show: Show) -> int:
        tasks = self._airflow.tasks(dag, run["dag_run_id"])
        done = sum(t["state"] in (*ENDED, "skipped") for t in tasks)
        show(done, _running(tasks))
        return done

    def _missing(self, wanted: Sequence[str]) -> list[str]:
        known = {w.start[:10] for w in self._control.windows(self._pipeline.name)}
        return [key for key in wanted if key not in known]

    def _runs(self, keys: Sequence[str]) -> dict[str, dict[str, Any]]:
        """Give the newest ingestion of each of these windows, if it has one.

        What had none among all runs gets one that is newer than those: it is not looked for again
        in all that Airflow remembers.
        """
        found: dict[str, dict[str, Any]] = {}
        missing, new = set(keys), len(keys) + PAGE
        for number, run in enumerate(self._airflow.all_runs(self._ingestion)):
            if not missing or (number >= new and missing <= self._without_run):
                break
            if run["partition_key"] in missing:
                found[run["partition_key"]] = run
                missing.remove(run["partition_key"])
        self._without_run = missing
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
        self._stop_if_paused(*dags)

    def _stop_if_paused(self, *dags: str) -> None:
        for dag in dags:
            if self._airflow.paused(dag):
                raise ConfigError(
                    f"{dag} is paused, so that nothing of it runs: switch it on at "
                    f"{self._services.airflow_url}/dags/{dag} and give the same command again"
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
            raise self._kind(name, task)(
                f"{said}task {task} failed: {self._why(name, first)}\n"
                f"its log: perennial logs {dag} {task} --run {name}\n"
                "mend it and give the same command again: it goes on from here"
            )

    def _kind(self, run: str, task: str) -> type[RejectedError]:
        results = left.results(self._services.environment, self._pipeline.name, slug(run))
        error = results[task].error if task in results else None
        return SourceError if error and error.kind == SourceError.__name__ else RejectedError

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


class Patience:
    """Ends a wait in which nothing changes any more."""

    def __init__(self) -> None:
        """Begin to wait."""
        self._seen: object = None
        self._since = time.monotonic()

    def check(self, seen: object, what: str) -> None:
        """Say what is seen now.

        Raises:
            BackendError: It was the same for too long.
        """
        if seen != self._seen:
            self._seen, self._since = seen, time.monotonic()
        if time.monotonic() - self._since > PATIENCE_SECONDS:
            raise BackendError(
                f"{what}: nothing has changed for {PATIENCE_SECONDS // 60} minutes; look at the "
                "runs in Airflow's UI, see perennial status and perennial logs scheduler"
            )


def _running(tasks: Sequence[dict[str, Any]]) -> str:
    names = [t["task_id"] for t in tasks if t["state"] in ("running", "queued", "up_for_retry")]
    return ", ".join(names) or "between tasks"
