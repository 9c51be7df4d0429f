"""Serves the plugin's app as Airflow's API server does, with its auth manager and its tokens."""

from __future__ import annotations

import json
import sys

import uvicorn
from airflow import settings
from airflow.api_fastapi.app import init_auth_manager
from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
from airflow.models import import_all_models
from airflow.models.base import Base
from fastapi import FastAPI
from perennial_plugin import PerennialPlugin

ROLES = ("user", "viewer")


def main(port: int) -> None:
    import_all_models()
    Base.metadata.create_all(settings.engine)
    manager = init_auth_manager()
    people = [SimpleAuthManagerUser(username=f"a-{role}", role=role) for role in ROLES]
    tokens = {one.role: manager.generate_jwt(one) for one in people}
    tokens["late"] = manager.generate_jwt(people[0], expiration_time_in_seconds=-60)
    sys.stdout.write(json.dumps(tokens) + "\n")
    sys.stdout.flush()
    root = FastAPI()
    for mounted in PerennialPlugin.fastapi_apps:
        root.mount(mounted["url_prefix"], mounted["app"])
    uvicorn.run(root, host="127.0.0.1", port=port, log_level="warning")


if __name__ == "__main__":
    main(int(sys.argv[1]))
