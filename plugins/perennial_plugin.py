"""Registers pages and links with Airflow."""

from __future__ import annotations

from airflow.plugins_manager import AirflowPlugin
from ml_launch.operators import RecordedRun
from ml_pages.pages import app


class PerennialPlugin(AirflowPlugin):
    """Pages of ours, behind Airflow's login."""

    name = "perennial"
    fastapi_apps = [{"app": app, "url_prefix": "/perennial", "name": "perennial"}]  # noqa: RUF012
    operator_extra_links = [RecordedRun()]  # noqa: RUF012
