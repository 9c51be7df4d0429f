"""The whole loop on this machine: ingest, train, gate, promote, watch, train again; none twice."""

from __future__ import annotations

import time
from contextlib import suppress
from typing import TYPE_CHECKING

from ml_tasks.flow import FLOWS
from ml_tasks.io.control import Control
from perennial import console, doctor, pod_overhead, summary, telling, views, weeks
from perennial.airflow_api import Airflow
from perennial.in_airflow import InAirflow
from perennial.loop import Loop
from perennial.progress import Progress
from perennial.story import Reader
from perennial.windows import named

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.result import Window
    from perennial.services import Services

CAUSE = "demo"
WHY = "the demo's training"


def run(services: Services, pipeline: Pipeline, until: str, follow: int) -> int:
    """Do what is not done yet, and show what came of it.

    Args:
        services: Of the home.
        pipeline: The product.
        until: The day by which the first training's windows end.
        follow: Weeks that may go by after it, until one more training was asked for and judged.

    Raises:
        BackendError: A service ended or does not answer, or nothing goes on.
        RejectedError: A window or a training failed; with the task, the reason and what to do.
    """
    began, wanted = time.monotonic(), named(pipeline, until)
    ours = services.dead() == list(services.names)
    try:
        doctor.require(services)
        with console.waiting("starting") as show:
            services.up(lambda name, seconds: show(f"{name} ready after {seconds:.0f} s"))
        views.addresses(services)
        environment, airflow = services.environment, Airflow(services)
        control = Control(environment.control)
        before = _standing(control, pipeline)
        loop = Loop(services, pipeline, control, airflow)
        _ingest(loop, [f"{window.start:%Y-%m-%d}" for window in wanted])
        trained = _train(loop, str(weeks.wanted(pipeline, wanted[-1].end)))
        later = weeks.following(pipeline, wanted[-1].end, follow)
        gone = _go_on(loop, environment, pipeline, control, later)
    except KeyboardInterrupt:
        # What ran before may be what somebody else works with.
        word = "ending the services" if ours else "the services go on, as they did before"
        with suppress(OSError):  # the terminal may be gone
            console.say(f"{word}; the same command goes on from here")
        if ours:
            services.down()
        raise
    did = trained or before != _standing(control, pipeline)
    seconds = time.monotonic() - began
    console.say(f"done in {seconds:.0f} s" if did else "nothing to do: everything was done before")
    if environment.launcher == "kubernetes":
        pod_overhead.show(airflow, environment, pipeline.name)
    if gone:
        telling.story(Reader(environment, pipeline).story(gone))
    return summary.show(services, pipeline)


def _standing(control: Control, pipeline: Pipeline) -> tuple[int, int]:
    """Give how many windows are in, and how many trainings were asked for."""
    return len(control.windows(pipeline.name)), len(control.triggers(pipeline.name))


def _ingest(loop: Loop, wanted: Sequence[str]) -> None:
    with Progress("windows", len(wanted)) as bar:
        loop.ingest(wanted, bar.show)


def _train(loop: Loop, window: str) -> bool:
    """Follow the first training to its end; tell whether it ran now."""
    with Progress("training", len(FLOWS["training"])) as bar:
        ran, _asked = loop.train(CAUSE, window, WHY, bar.show)
    return ran


def _go_on(
    loop: Loop,
    environment: Environment,
    pipeline: Pipeline,
    control: Control,
    later: Sequence[Window],
) -> list[Window]:
    """Let weeks go by until a training was asked for and judged; give those that did."""
    if control.champion(pipeline.name) is None:
        return []
    reader = Reader(environment, pipeline)
    gone: list[Window] = []
    with Progress("weeks that follow, at the most", len(later)) as bar:
        stage = InAirflow(
            loop, environment, pipeline, control, lambda doing: bar.show(len(gone), doing)
        )
        for week in weeks.play(stage, control, pipeline, later):
            gone.append(week)
            bar.show(len(gone), "")
            for line in telling.week(reader.week(week), pipeline.evaluation.metric):
                bar.say(line)
            if weeks.asked(control, pipeline, week):
                break
    return gone
