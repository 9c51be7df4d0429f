"""Registers pages, links and what listens with Airflow."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

from airflow.plugins_manager import AirflowPlugin
from ml_launch import ahead
from ml_launch.links import DataDocs, RecordedRun

if TYPE_CHECKING:
    from fastapi import FastAPI
    from starlette.types import Receive, Scope, Send


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer by our pages, imported when the first is asked for: every component loads plugins."""
    await _application()(scope, receive, send)


@cache
def _application() -> FastAPI:
    from ml_alerts.incoming import router
    from ml_pages.pages import app as pages

    pages.include_router(router)
    return pages


class PerennialPlugin(AirflowPlugin):
    """Pages of ours, behind Airflow's login."""

    name = "perennial"
    fastapi_apps = [{"app": app, "url_prefix": "/perennial", "name": "perennial"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Pipelines",
            "href": "/perennial/pipelines",
            "destination": "nav",
            "url_route": "pipelines",
        },
        {
            "name": "Data Docs",
            "href": "/perennial/data-docs",
            "destination": "nav",
            "category": "browse",
            "url_route": "data-docs",
        },
    ]
    listeners = [ahead]  # noqa: RUF012
    operator_extra_links = [RecordedRun(), DataDocs()]  # noqa: RUF012
