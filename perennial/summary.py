"""What trainings came to: metrics and gates of the champion, who was refused, where to look."""

from __future__ import annotations

import math
import shlex
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_tasks.errors import ExitCode
from ml_tasks.io import runs
from ml_tasks.io.control import Control
from perennial import console, views

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.io.control import Head, Trigger
    from ml_tasks.result import Result
    from perennial.services import Services

METRICS = ("roc_auc", "pr_auc", "log_loss", "brier", "ece", "accuracy", "rmse", "mae", "r2")


@dataclass(frozen=True, slots=True)
class JudgedTraining:
    """A training of which a table is shown."""

    who: str
    """What it made, such as `version 2`."""
    results: Mapping[str, Result]

    @property
    def window(self) -> str:
        """What it learned from, validation and test part included."""
        found = self.results.get("assemble")
        return str(found.window) if found is not None else "a window that is not known"

    @property
    def gates(self) -> Sequence[Mapping[str, Any]]:
        """What each gate said."""
        return self.results["judge"].values["gates"] if "judge" in self.results else ()


def show(services: Services, pipeline: Pipeline) -> int:
    """Show what the loop ends with; the exit code tells whether the pipeline has a champion."""
    environment, name = services.environment, pipeline.name
    control = Control(environment.control)
    head, asked = control.champion(name), control.triggers(name)
    last = _judged_last(environment, asked)
    if head is not None:
        made = JudgedTraining(f"version {head.version}", runs.results(environment, name, head.run))
        _metrics(made)
        _gates(made)
        if last is not None and last[0].run != head.run:
            _other(*last, f"version {head.version} is champion")
        _champion(services, made, head)
    else:
        if last is not None:
            _metrics(_other(*last, "there is no champion"))
        outcome = asked[-1].outcome if asked else "nobody asked for a training"
        console.fail(f"{name} has no champion: {outcome}")
    views.addresses(services)
    _next(services, name, champion=head is not None)
    return ExitCode.REJECTED if head is None else ExitCode.OK


def _judged_last(
    environment: Environment, asked: Sequence[Trigger]
) -> tuple[Trigger, Mapping[str, Result]] | None:
    for trigger in reversed(asked):
        results = runs.results(environment, trigger.pipeline, trigger.run) if trigger.run else {}
        if "judge" in results and results["judge"].error is None:
            return trigger, results
    return None


def _other(trigger: Trigger, results: Mapping[str, Result], stands: str) -> JudgedTraining:
    """Show the training that was judged last and whose model is not champion; give it."""
    made = JudgedTraining("the candidate", results)
    verdict = "passed" if results["judge"].values["passed"] else "refused"
    _heading(f"The last training, from {made.window}, asked for by {trigger.cause}: {verdict}")
    console.plain(f"{trigger.outcome or trigger.state}; {stands}")
    _gates(made, failed=True)
    return made


def _metrics(made: JudgedTraining) -> None:
    if "evaluate" not in made.results:
        return
    values = made.results["evaluate"].values
    measured: dict[str, dict[str, Any]] = values["metrics"]
    names = [m for m in METRICS if m in next(iter(measured.values()))]
    called = {"candidate": made.who, "champion": f"version {values['champion']}, champion before"}
    rows = [
        (called.get(who, who), *(number(found[m]) for m in names))
        for who, found in measured.items()
    ]
    _heading(f"Metrics of {made.who}, on the test range of {made.window}")
    console.table("", ("model", *names), rows)


def _gates(made: JudgedTraining, *, failed: bool = False) -> None:
    rows = [
        ("passed" if j["passed"] else "FAILED", j["gate"], j["threshold"], j["evidence"])
        for j in made.gates
        if not (failed and j["passed"])
    ]
    if rows:
        said = "Failed gates" if failed else "Gates"
        _heading(f"{said} of {made.who}, from {made.window}")
        console.table("", ("", "gate", "wanted", "came"), rows)


def _heading(text: str) -> None:
    """Show what a table is of, to a program too: it tells versions apart."""
    console.say(f"\n[bold]{text}[/bold]")


def _champion(services: Services, made: JudgedTraining, head: Head) -> None:
    said = f"{head.pipeline}: {made.who} is champion"
    registered = made.results.get("register")
    if registered is not None and registered.values.get("version") == head.version:
        said += f" ({registered.values['semantic_version']}), made by run {registered.run}"
    console.say(f"\n[bold green]{said}[/bold green]")
    console.say(f"Model    {services.environment.mlflow_url}/#/models/{head.pipeline}")


def _next(services: Services, name: str, *, champion: bool) -> None:
    command = _command()
    again = "once its YAML or its data has changed: train and judge anew"
    told = {
        f"{services.airflow_url}/plugin/pipelines": "how each product does",
        f"{services.airflow_url}/dags/{name}__intake": "ask for a training",
        **(
            {f"{command} lineage champion -p {name}": "where the model comes from"}
            if champion
            else {f"{command} run training -p {name}": again}
        ),
        f"{command} ledger -p {name}": "what retraining was to win, won and cost",
        f"{command} triggers -p {name}": "who asked for trainings, and why",
        "make down": "end the services; state is kept",
    }
    wide = max(map(len, told))
    console.say("\nnext:")
    for what, why in told.items():
        console.plain(f"  {what.ljust(wide)}  {why}")


def _command() -> str:
    """Give what one types for our command here: `make` needs no `.venv/bin` on the path."""
    own, found = Path(sys.prefix) / "bin" / "perennial", shutil.which("perennial")
    if found and (not own.exists() or own.samefile(found)):
        return "perennial"
    here = Path.cwd()
    return shlex.quote(str(own.relative_to(here) if own.is_relative_to(here) else own))


def number(value: object) -> str:
    """Give a metric with four digits; what was not measured is a dash."""
    known = isinstance(value, int | float) and math.isfinite(value)
    return f"{value:.4f}" if known else "-"
