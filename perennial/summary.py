"""What came of a training: version, metrics beside baselines, gates, and where to look."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from ml_tasks.errors import ExitCode
from ml_tasks.io import runs
from ml_tasks.io.control import Control
from perennial import console, views

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_tasks.config import Pipeline
    from ml_tasks.io.control import Trigger
    from ml_tasks.result import Result
    from perennial.services import Services

METRICS = ("roc_auc", "pr_auc", "log_loss", "brier", "ece", "accuracy", "rmse", "mae", "r2")


def show(services: Services, pipeline: Pipeline, trigger: Trigger) -> int:
    """Show a trigger's training; the exit code tells whether the pipeline has a champion."""
    results = runs.results(services.environment, pipeline.name, trigger.run or "")
    _metrics(results)
    _gates(results)
    head = Control(services.environment.control).champion(pipeline.name)
    if head is None:
        console.fail(f"{pipeline.name} has no champion: {trigger.outcome}")
    else:
        _champion(services, pipeline, results, head.version)
    views.addresses(services)
    name = pipeline.name
    console.say(
        f"\nnext:\n"
        f"  perennial lineage champion -p {name}   where the model comes from\n"
        f"  perennial status                      what runs and what stands\n"
        f"  open {services.airflow_url}/dags/{name}__intake and ask for a training\n"
        f"  make down                             end the services; state is kept"
    )
    return ExitCode.REJECTED if head is None else ExitCode.OK


def _metrics(results: Mapping[str, Result]) -> None:
    if "evaluate" not in results:
        return
    measured: dict[str, dict[str, Any]] = results["evaluate"].values["metrics"]
    names = [m for m in METRICS if m in next(iter(measured.values()))]
    rows = [(who, *(number(found[m]) for m in names)) for who, found in measured.items()]
    console.table("On the test range", ("model", *names), rows)


def _gates(results: Mapping[str, Result]) -> None:
    if "judge" not in results:
        return
    rows = [
        ("passed" if j["passed"] else "FAILED", j["gate"], j["threshold"], j["evidence"])
        for j in results["judge"].values["gates"]
    ]
    console.table("Gates", ("", "gate", "wanted", "came"), rows)


def _champion(
    services: Services, pipeline: Pipeline, results: Mapping[str, Result], version: str
) -> None:
    said = f"{pipeline.name}: version {version} is champion"
    made = results.get("register")
    if made is not None and made.values.get("version") == version:
        said += f" ({made.values['semantic_version']}), made by run {made.run}"
    console.say(f"[bold green]{said}[/bold green]")
    console.say(f"Model    {services.environment.mlflow_url}/#/models/{pipeline.name}")


def number(value: object) -> str:
    """Give a metric with four digits; what was not measured is a dash."""
    known = isinstance(value, int | float) and math.isfinite(value)
    return f"{value:.4f}" if known else "-"
