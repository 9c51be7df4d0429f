"""Registers pages and links with Airflow."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from ml_launch.operators import DataDocs, RecordedRun
from ml_pages.pages import app


class PerennialPlugin(AirflowPlugin):
    """Pages of ours, behind Airflow's login."""

    name = "perennial"
    fastapi_apps = [{"app": app, "url_prefix": "/perennial", "name": "perennial"}]  # noqa: RUF012
    external_views = [  # noqa: RUF012
        {
            "name": "Data Docs",
            "href": "/perennial/data-docs",
            "destination": "nav",
            "category": "browse",
            "url_route": "data-docs",
        }
    ]
    operator_extra_links = [RecordedRun(), DataDocs()]  # noqa: RUF012
