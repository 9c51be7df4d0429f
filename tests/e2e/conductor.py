"""Launches the tasks of both flows from a process of its own, which may be killed at any moment."""

from __future__ import annotations

import multiprocessing
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from ml_tasks import config
from ml_tasks.flow import FLOWS
from perennial import console, runner
from perennial.given import environment as given
from perennial.services import Services
from tests.e2e.conftest import NAME

if TYPE_CHECKING:
    from collections.abc import Mapping
    from multiprocessing.process import BaseProcess

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.flow import Dag, Step

LOOP: tuple[Dag, ...] = ("ingestion", "training")
WINDOW = "2013-01-01/2013-01-22"
TRIES = 4
STEPS = tuple((flow, step) for flow in LOOP for step in FLOWS[flow])


def start(variables: Mapping[str, str], log: Path) -> BaseProcess:
    """Go on from where the process before came to."""
    made = multiprocessing.get_context("spawn").Process(
        target=conduct, args=(dict(variables), str(log))
    )
    made.start()
    return made


def conduct(variables: Mapping[str, str], log: str) -> None:
    """Launch one task after the other; what failed is tried again, as Airflow and people do."""
    os.environ.update(variables)  # noqa: TID251 - of a process of its own
    with Path(log).open("a", buffering=1) as stream:
        sys.stdout = sys.stderr = stream
        environment = Services(given(), airflow=False).present
        pipeline = config.load(NAME, environment.pipelines)
        for flow, step in STEPS:
            note = environment.home / f"{flow}-{step.task}.done"
            if not note.exists():
                note.write_text(str(_tries(environment, pipeline, flow, step)))


def _tries(environment: Environment, pipeline: Pipeline, flow: str, step: Step) -> int:
    """Run a task until it succeeds; give how often that was."""
    trigger = runner.ask(environment, pipeline, WINDOW, flow) if step.task == "claim" else None
    for number in range(1, TRIES + 1):
        console.plain(f"-- {flow} {step.task}, try {number}")
        outcome = runner.run_task(
            environment,
            pipeline,
            step,
            run=flow,
            window=WINDOW,
            trigger=trigger,
            on_line=console.plain,
        ).outcome
        if outcome.succeeded:
            return number
        console.plain(f"-- {outcome.message}")
    raise SystemExit(1)
