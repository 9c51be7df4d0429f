"""How Airflow and MLflow are set up on a laptop: as environment variables."""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_tasks.config import ROOT

if TYPE_CHECKING:
    from pathlib import Path

PASSWORDS = "passwords.json"


@dataclass(frozen=True, slots=True)
class Login:
    """Who may enter the UI of Airflow."""

    user: str
    password: str


def login(home: Path) -> Login:
    """Give the only user, with a password that is drawn once and kept in Airflow's folder."""
    file = home / PASSWORDS
    if not file.is_file():
        _keep(file, json.dumps({"admin": secrets.token_urlsafe(9)}))
    return Login("admin", json.loads(file.read_text())["admin"])


def variables(home: Path, url: str, port: int) -> dict[str, str]:
    """Give the environment of all services.

    Args:
        home: Airflow's folder.
        url: Address of its API server.
        port: The port of that.
    """
    user = login(home).user
    airflow = {
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "4",
        "CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{user}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / PASSWORDS),
        "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(port),
        "API__BASE_URL": url,
        "API__WORKERS": "1",
        "API__SECRET_KEY": _secret(home / "api.secret"),
        "API_AUTH__JWT_SECRET": _secret(home / "jwt.secret"),
        "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
        "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
        # Work of a scheduler that was killed is found again within half a minute.
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
        "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
        "DAG_PROCESSOR__MIN_FILE_PROCESS_INTERVAL": "15",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "15",
        "USAGE_DATA_COLLECTION__ENABLED": "False",
    }
    return {
        **{f"AIRFLOW__{name}": value for name, value in airflow.items()},
        "AIRFLOW_HOME": str(home),
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }


def _secret(file: Path) -> str:
    if not file.is_file():
        _keep(file, secrets.token_urlsafe(32))
    return file.read_text()


def _keep(file: Path, text: str) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.touch(mode=0o600)
    file.write_text(text)
