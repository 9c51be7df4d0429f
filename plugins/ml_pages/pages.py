"""Pages that Airflow's API server gives out."""

from __future__ import annotations

import html
from typing import Any

import httpx
from airflow.api_fastapi.core_api.security import requires_authenticated
from fastapi import Depends, FastAPI
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from ml_tasks.config import Environment

app = FastAPI(dependencies=[Depends(requires_authenticated())], docs_url=None, redoc_url=None)
SECONDS = 10


@app.get("/mlflow")
def mlflow_run(pipeline: str, run: str, task: str = "") -> Response:
    """Lead to a task's run in MLflow, or to its run's, or say why there is none yet."""
    address = Environment().mlflow_url.rstrip("/")
    try:
        found = _find(address, pipeline, run, task) or _find(address, pipeline, run, "")
    except httpx.HTTPError as fault:
        return _say(502, f"MLflow at {address} does not answer: {fault}. Is it up?")
    if found is None:
        return _say(
            404, f"Run {run} of {pipeline} is not recorded yet: its last task, record, does that."
        )
    return RedirectResponse(f"{address}/#/experiments/{found[0]}/runs/{found[1]}")


def _find(address: str, pipeline: str, run: str, task: str) -> tuple[str, str] | None:
    with httpx.Client(base_url=f"{address}/api/2.0/mlflow", timeout=SECONDS) as client:
        experiment = client.get("/experiments/get-by-name", params={"experiment_name": pipeline})
        if experiment.status_code == httpx.codes.NOT_FOUND:
            return None
        experiment.raise_for_status()
        identity = experiment.json()["experiment"]["experiment_id"]
        quoted = [value.replace("'", "") for value in (run, task)]
        wanted = "tags.`perennial.run` = '{}' and tags.`perennial.task` = '{}'".format(*quoted)
        answer = client.post(
            "/runs/search",
            json={"experiment_ids": [identity], "filter": wanted, "max_results": 1},
        )
        answer.raise_for_status()
        runs: list[dict[str, Any]] = answer.json().get("runs", [])
    return (identity, runs[0]["info"]["run_id"]) if runs else None


def _say(status: int, text: str) -> HTMLResponse:
    body = f"<!doctype html><title>Perennial</title><p>{html.escape(text)}</p>"
    return HTMLResponse(body, status_code=status)
