"""The whole loop on this machine: start, ingest, train, gate, promote; what is done is kept."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ml_tasks.flow import FLOWS
from ml_tasks.io.control import Control
from perennial import console, doctor, spells, summary
from perennial.airflow_api import Airflow
from perennial.loop import Loop
from perennial.progress import Progress
from perennial.windows import windows

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_tasks.config import Pipeline
    from ml_tasks.io.control import Trigger
    from perennial.services import Services

CAUSE = "demo"
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
        loop = Loop(services, pipeline, Control(services.environment.control), airflow)
        ingested = _ingested(loop, list(wanted))
        window = f"{pipeline.schedule.start}/{next(reversed(wanted.values()))}"
        trained, trigger = _trained(loop, window)
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


def _ingested(loop: Loop, wanted: Sequence[str]) -> bool:
    with Progress("windows", len(wanted)) as bar:
        return loop.ingest(wanted, bar.show)


def _trained(loop: Loop, window: str) -> tuple[bool, Trigger]:
    with Progress("training", len(FLOWS["training"])) as bar:
        return loop.train(CAUSE, window, WHY, bar.show)
