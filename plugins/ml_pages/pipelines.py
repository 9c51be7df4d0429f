"""The pages of all pipelines and of one, and what they are drawn with."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlencode

import jinja2
from airflow.api_fastapi.core_api.security import GetUserDep  # noqa: TC002 - FastAPI reads it
from fastapi import APIRouter, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from ml_pages import access, airflow_runs, facts, glance, heat, judged, words
from ml_pages.detail import detail
from ml_tasks import config
from ml_tasks.config import Environment
from ml_tasks.errors import ConfigError, PerennialError
from ml_tasks.io.control import Control

if TYPE_CHECKING:
    from collections.abc import Callable

router = APIRouter()
HERE = Path(__file__).parent
STATIC = {"pages.css": "text/css", "pages.js": "text/javascript"}
SHUT = {
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; img-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "same-origin",
    "Cache-Control": "no-store",
}
MOUNTED = "/perennial"


@router.get("/pipelines")
def pipelines(request: Request, user: GetUserDep) -> Response:
    """Show how all pipelines do that somebody may see, the worst first."""
    environment, now = Environment(), datetime.now(UTC)
    good, faults = config.load_good(environment.pipelines)
    seen = access.readable([*(one.name for one in good), *faults], user)
    hidden = len(good) + len(faults) > len(seen)
    faults = {name: fault for name, fault in faults.items() if name in seen}
    try:
        mine = [one for one in good if one.name in seen]
        known = facts.of_all(_control(environment), mine, now)
        with ThreadPoolExecutor(judged.AT_ONCE) as pool:
            shown = list(pool.map(lambda own: glance.glance(own, environment), known))
    except PerennialError as fault:
        return _say(request, 502, "Pipelines", f"{fault}. Is it up?")
    shown.sort(key=lambda one: (glance.ORDER.index(one.level), one.facts.pipeline.name))
    return _render(
        request,
        "pipelines",
        shown=shown,
        faults=faults,
        hidden=hidden,
        folder=environment.pipelines,
    )


@router.get("/pipelines/{name}")
def pipeline(
    request: Request, user: GetUserDep, name: str, metric: str = "", segment: str = ""
) -> Response:
    """Show one pipeline over its newest windows; one that is hidden is as one that is not."""
    environment, now = Environment(), datetime.now(UTC)
    there = [path.stem for path in environment.pipelines.glob("*.yaml")]
    names = sorted(access.readable(there, user))
    if name not in names:
        why = f"there is no YAML in {environment.pipelines}"
        if there:
            why = "you may read no product's training DAG in Airflow"
        said = f"pipeline: came {name!r}, wanted one of {', '.join(names) or f'none; {why}'}"
        return _say(request, 404, "No such pipeline", said, names)
    try:
        declared = config.load(name, environment.pipelines)
    except ConfigError as fault:
        return _say(request, 200, name, str(fault), broken=True)
    try:
        found = detail(
            _control(environment), environment, declared, now, metric=metric, segment=segment
        )
    except ConfigError as fault:
        return _say(request, 400, name, str(fault), [name])
    except PerennialError as fault:
        return _say(request, 502, name, f"{fault}. Is it up?")
    return _render(request, "pipeline", shown=found, now=now)


@router.get("/run")
def run(request: Request, user: GetUserDep, pipeline: str, run: str, flow: str = "") -> Response:
    """Lead to a run in Airflow; to MLflow's record of it where it was made without Airflow."""
    if wrong := access.fault(pipeline=pipeline, run=run, flow=flow):
        return _say(request, 400, "No such run", wrong)
    access.permit(pipeline, user)
    found = airflow_runs.find(pipeline, run, flow)
    if found is None:
        query = urlencode({"pipeline": pipeline, "run": run})
        return RedirectResponse(f"{_root(request)}/mlflow?{query}")
    dag, identity = found
    airflow = _root(request).removesuffix(MOUNTED)
    return RedirectResponse(f"{airflow}/dags/{quote(dag)}/runs/{quote(identity, safe='')}")


@router.get("/static/{name}")
def static(request: Request, name: str) -> Response:
    """Give out what pages are drawn with."""
    if name not in STATIC:
        return _say(request, 404, "No such file", f"file: came {name!r}, wanted {list(STATIC)}")
    kept = {"Cache-Control": "private, max-age=3600", "X-Content-Type-Options": "nosniff"}
    return Response((HERE / "static" / name).read_bytes(), media_type=STATIC[name], headers=kept)


def _control(environment: Environment) -> Control:
    control = Control(environment.control)
    control.migrate()
    return control


def _root(request: Request) -> str:
    return str(request.scope.get("root_path", "")).rstrip("/")


def _say(
    request: Request,
    status: int,
    title: str,
    text: str,
    names: list[str] | tuple[()] = (),
    *,
    broken: bool = False,
) -> HTMLResponse:
    """Give a page that says one thing."""
    told = {"title": title, "text": text, "names": names, "broken": broken}
    return _render(request, "said", status, **told)


def _render(request: Request, page: str, status: int = 200, **told: Any) -> HTMLResponse:
    root = _root(request)

    def run_link(pipeline: str, name: str, flow: str = "") -> str:
        return f"{root}/run?{urlencode({'pipeline': pipeline, 'run': name, 'flow': flow})}"

    def mlflow_link(pipeline: str, name: str) -> str:
        return f"{root}/mlflow?{urlencode({'pipeline': pipeline, 'run': name})}"

    links: dict[str, str | Callable[..., str]] = {
        "root": root,
        "airflow": root.removesuffix(MOUNTED),
        "run_link": run_link,
        "mlflow_link": mlflow_link,
    }
    made = _pages().get_template(f"{page}.html.jinja").render(**links, **told)
    return HTMLResponse(made, status_code=status, headers=SHUT)


@cache
def _pages() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(HERE / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "words": words,
        "SAID": glance.SAID,
        "shade": heat.shade,
        "EDGES": heat.EDGES,
        "version": str(max(int((HERE / "static" / f).stat().st_mtime) for f in STATIC)),
    }
    return environment
