"""Pages that Airflow's API server gives out."""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import httpx
import jinja2
from airflow.api_fastapi.core_api.security import GetUserDep, requires_authenticated
from fastapi import Depends, FastAPI, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from ml_pages import access, pipelines
from ml_tasks.config import Environment
from ml_tasks.errors import PerennialError
from ml_tasks.io import objects

if TYPE_CHECKING:
    from datetime import datetime

app = FastAPI(dependencies=[Depends(requires_authenticated())], docs_url=None, redoc_url=None)
app.include_router(pipelines.router)
SECONDS = 10
DATA_DOCS = re.compile(
    r"/runs/(?P<pipeline>[^/]+)/(?P<run>[^/]+)/validate/(?P<attempt>\d+)/data_docs\.html$"
)
SHUT = {
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'",
    "X-Content-Type-Options": "nosniff",
}


@dataclass(frozen=True, slots=True)
class DataDocsPage:
    """Where the Data Docs of a run's newest attempt lie."""

    pipeline: str
    run: str
    attempt: int
    uri: str
    written: datetime


@app.exception_handler(access.DeniedError)
def denied(_request: Request, fault: Exception) -> Response:
    """Say why somebody does not see a page."""
    return _say(403, str(fault))


@app.get("/mlflow")
def mlflow_run(user: GetUserDep, pipeline: str, run: str, task: str = "") -> Response:
    """Lead to a task's run in MLflow, or to its run's, or say why there is none yet."""
    if wrong := access.fault(pipeline=pipeline, run=run, task=task):
        return _say(400, wrong)
    access.permit(pipeline, user)
    address = Environment().mlflow_url.rstrip("/")
    if not address:
        return _say(502, "MLflow: came no address, wanted it in Airflow's PERENNIAL_MLFLOW_URL.")
    try:
        found = _find(address, pipeline, run, task) or _find(address, pipeline, run, "")
    except httpx.HTTPError as fault:
        return _say(502, f"MLflow at {address} does not answer: {fault}. Is it up?")
    if found is None:
        return _say(
            404, f"Run {run} of {pipeline} is not recorded yet: its last task, record, does that."
        )
    experiment, record = (quote(identity, safe="") for identity in found)
    return RedirectResponse(f"{address}/#/experiments/{experiment}/runs/{record}")


@app.get("/data-docs")
def data_docs(user: GetUserDep, pipeline: str = "", run: str = "") -> Response:
    """Show what validation found in a run's window, or list what there is of windows."""
    if wrong := access.fault(pipeline=pipeline, run=run):
        return _say(400, wrong)
    if run and not pipeline:
        return _say(400, f"run: came {run!r} alone, wanted its pipeline too")
    if pipeline:
        access.permit(pipeline, user)
    try:
        pages = _pages(Environment().objects_root, pipeline, run)
        if run and not pages:
            return _say(
                404,
                f"Run {run} of {pipeline} has no Data Docs: the task validate of an ingestion "
                "writes them, and in this run it has not yet.",
            )
        if not pipeline:
            seen = access.readable({page.pipeline for page in pages}, user)
            pages = [page for page in pages if page.pipeline in seen]
        shown = objects.read_text(pages[0].uri) if run else _listed(pages, pipeline)
    except (PerennialError, FileNotFoundError) as fault:
        return _say(502, f"Data Docs cannot be read: {fault}. Is the object store up?")
    return HTMLResponse(shown, headers=SHUT)


def _pages(root: str, pipeline: str, run: str) -> list[DataDocsPage]:
    """Give the Data Docs of each run's newest attempt, the latest written first."""
    folder = "/".join(part for part in (root, "runs", pipeline, run, run and "validate") if part)
    newest: dict[tuple[str, str], DataDocsPage] = {}
    for found in objects.find(folder):
        if matched := DATA_DOCS.search(found.uri):
            key = (matched["pipeline"], matched["run"])
            page = DataDocsPage(*key, int(matched["attempt"]), found.uri, found.modified)
            if key not in newest or newest[key].attempt < page.attempt:
                newest[key] = page
    return sorted(newest.values(), key=lambda page: page.written, reverse=True)


def _listed(pages: list[DataDocsPage], pipeline: str) -> str:
    """Give the list of pages as HTML, the newest window first."""
    read = [
        (page, json.loads(objects.read_text(f"{page.uri.removesuffix('.html')}.json")))
        for page in pages
    ]
    read.sort(key=lambda pair: str(pair[1]["window"]), reverse=True)
    return _template().render(pages=read, pipeline=pipeline)


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    return environment.get_template("data_docs.html.jinja")


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
    return HTMLResponse(body, status_code=status, headers=SHUT)
