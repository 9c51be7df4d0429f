"""How services are started: command lines, environment variables, and what is kept secret."""

from __future__ import annotations

import json
import os
import secrets
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_tasks.config import ROOT
from ml_tasks.io.backend import NO_LINKS

if TYPE_CHECKING:
    from pathlib import Path

PASSWORDS = "passwords.json"
PSYCOPG = "postgresql+psycopg"
NOBODY = "9"
"""A port that is everybody's to discard at (RFC 863), and on which nothing listens today."""


@dataclass(frozen=True, slots=True)
class Login:
    """Who may enter the UI of Airflow."""

    user: str
    password: str


def login(home: Path) -> Login:
    """Give the only user, with a password that is drawn once and kept in Airflow's folder."""
    file = home / PASSWORDS
    if not file.is_file():
        keep(file, json.dumps({"admin": secrets.token_urlsafe(9)}))
    return Login("admin", json.loads(file.read_text())["admin"])


ALWAYS = {
    "CORE__LOAD_EXAMPLES": "False",
    "CORE__EXECUTOR": "LocalExecutor",
    "CORE__PARALLELISM": "4",
    "SCHEDULER__SCHEDULER_IDLE_SLEEP_TIME": "0.2",
    "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    # Work of a scheduler that was killed is found again within half a minute.
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_SEC": "5",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "20",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "10",
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "15",
    # Who misses the end of its task looks again only then, and takes up a place meanwhile.
    "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
    # An answer that comes late is waited for: what is told twice may count for who goes on since.
    "WORKERS__EXECUTION_API_TIMEOUT": "8",
    "DAG_PROCESSOR__REFRESH_INTERVAL": "30",
    "USAGE_DATA_COLLECTION__ENABLED": "False",
    # `argv` starts no log servers; whoever asks for one must not find another Airflow's.
    "LOGGING__LOGGING_CONFIG_CLASS": "ml_launch.log_folder.LOGGING_CONFIG",
    "LOGGING__WORKER_LOG_SERVER_PORT": NOBODY,
    "LOGGING__TRIGGER_LOG_SERVER_PORT": NOBODY,
}
"""Airflow's settings that are the same wherever it listens."""


def variables(home: Path, host: str, port: int, database: str) -> dict[str, str]:
    """Give the environment of Airflow and of MLflow.

    Args:
        home: Airflow's folder.
        host: Where its API server listens.
        port: The port of that.
        database: SQLAlchemy address of its database.
    """
    url = f"http://{host}:{port}"
    user = login(home).user
    airflow = {
        "CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{user}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / PASSWORDS),
        "DATABASE__SQL_ALCHEMY_CONN": database,
        "API__HOST": host,
        "API__PORT": str(port),
        "API__BASE_URL": url,
        "API__WORKERS": "1",
        "API__SECRET_KEY": secret(home / "api.secret"),
        "API_AUTH__JWT_SECRET": secret(home / "jwt.secret"),
        **ALWAYS,
    }
    if database.startswith(PSYCOPG):
        # Of its own accord Airflow would want asyncpg.
        airflow["DATABASE__SQL_ALCHEMY_CONN_ASYNC"] = database.replace(
            PSYCOPG, f"{PSYCOPG}_async", 1
        )
    return {
        **{f"AIRFLOW__{name}": value for name, value in airflow.items()},
        "AIRFLOW_HOME": str(home),
        # Airflow's titles of processes would lie over the mark that strays are found by.
        "SPT_NOENV": "1",
        "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
        # Of its own accord it answers to names of private addresses alone.
        "MLFLOW_SERVER_ALLOWED_HOSTS": ",".join(
            name
            for at in dict.fromkeys((host, "localhost", "127.0.0.1"))
            for name in (at, f"{at}:*")
        ),
        "MLFLOW_DISABLE_TELEMETRY": "true",
        "DO_NOT_TRACK": "true",
        "GIT_PYTHON_REFRESH": "quiet",
    }


def argv(name: str, host: str, port: int | None, socket: Path) -> list[str]:
    """Give the command line of MLflow, the warm launcher or one of Airflow's parts.

    Airflow's log servers are left out: they listen on all addresses of the machine, and the API
    server finds the logs in its own folder.

    Args:
        name: Which service.
        host: Where MLflow listens.
        port: The port of that.
        socket: Where the warm launcher does.
    """
    if name == "warm":
        return [sys.executable, "-m", "ml_launch.warm", str(socket)]
    if name == "mlflow":
        return [sys.executable, "-m", "perennial.tracking_server", host, str(port)]
    alone = ["--skip-serve-logs"] if name in {"scheduler", "triggerer"} else []
    return [sys.executable, "-m", "airflow", name, *alone]


def secret(file: Path) -> str:
    """Give what is drawn once and kept in a file that its owner alone reads."""
    if not file.is_file():
        draft = _draft(file, secrets.token_urlsafe(32))
        try:
            file.hardlink_to(draft)
        except FileExistsError:  # another command has drawn it
            pass
        except OSError as fault:
            if fault.errno not in NO_LINKS:
                raise
            if not file.is_file():
                draft.replace(file)
        finally:
            draft.unlink(missing_ok=True)
    return file.read_text()


def keep(file: Path, text: str) -> None:
    """Write a file that its owner alone reads; it is seen whole or not at all."""
    _draft(file, text).replace(file)


def _draft(file: Path, text: str) -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(text)
    return draft
