"""Tables of what stands: services, pipelines, windows, champions, triggers."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psutil

from ml_tasks import config
from ml_tasks.errors import ExitCode
from ml_tasks.io.control import Control
from perennial import console, servers

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_tasks.config import Pipeline
    from perennial.processes import Running
    from perennial.services import Services

MEGABYTE = 2**20
RUNNING = "running"
RECENT = 5
BEGIN = "nothing was started yet: perennial up starts the services, make demo shows the whole loop"


def addresses(services: Services) -> None:
    """Show where the UIs are and how to enter."""
    login = services.login
    console.say(f"Airflow  {services.airflow_url}  (user {login.user}, password {login.password})")
    console.say(f"MLflow   {services.environment.mlflow_url}")


def status(services: Services) -> int:
    """Show everything; the exit code tells whether all services run."""
    known = services.processes.known()
    rows: list[tuple[object, ...]] = []
    for name in services.names:
        running = known.get(name)
        if running is None or not running.alive:
            rows.append((name, _away(running), "", "", ""))
            continue
        state = RUNNING if services.ready(name) else "not ready"
        memory = psutil.Process(running.pid).memory_info().rss / MEGABYTE
        rows.append((name, state, running.pid, running.port or "", f"{memory:.0f} MB"))
    console.table("Services", ("service", "state", "pid", "port", "memory"), rows)
    if set(services.dead()) & set(servers.wanted(services.given)):
        console.fail("what the pipelines stand at is not known: perennial up")
        return ExitCode.RETRY
    control = Control(services.environment.control)
    control.migrate()
    pipelines, faults = config.load_good(services.given.pipelines)
    standing = []
    for pipeline in pipelines:
        head = control.champion(pipeline.name)
        standing.append(
            (
                pipeline.name,
                _data(control, pipeline, pipelines),
                f"version {head.version} since {head.since[:19]}" if head else "no champion",
            )
        )
    standing += [(name, "does not hold: perennial config check", "") for name in faults]
    console.table("Pipelines", ("pipeline", "data", "champion"), standing)
    triggers = [t for p in pipelines for t in control.triggers(p.name)[-RECENT:]]
    if triggers:
        console.table(
            "Latest triggers",
            ("id", "pipeline", "cause", "window", "state", "outcome"),
            [(t.id, t.pipeline, t.cause, t.window, t.state, t.outcome or "") for t in triggers],
        )
    if any(row[1] != RUNNING for row in rows):
        if not known:
            console.say(BEGIN)
        return ExitCode.RETRY
    addresses(services)
    return ExitCode.OK


def _away(was: Running | None) -> str:
    """Say why a service does not run."""
    if was is None:
        return "not started"
    return "stopped; perennial up starts it" if was.stopped else f"ended; see {was.log}"


def _data(control: Control, pipeline: Pipeline, pipelines: Sequence[Pipeline]) -> str:
    """Say which windows are in, and what was published beside them by tasks that ran alone."""
    if windows := control.windows(pipeline.name):
        return f"{len(windows)} windows, up to {windows[-1].end[:10]}"
    source = pipeline.label.source
    sharing = [one.name for one in pipelines if one.label.source == source]
    taken = {window.start for name in sharing for window in control.windows(name)}
    published = [w for w in control.publications(f"raw.{source}") if w.start not in taken]
    if published:
        return (
            f"{len(published)} windows published, up to {published[-1].end[:10]}; none went on to "
            "materialise"
        )
    return "no window"
