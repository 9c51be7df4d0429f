"""The services that a laptop runs: MLflow, the warm launcher, and Airflow's four parts."""

from __future__ import annotations

import json
import secrets
import socket
import sys
import time
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import version
from typing import TYPE_CHECKING

import httpx
from ml_launch import tree

from ml_tasks.config import ROOT, Environment
from ml_tasks.errors import BackendError
from ml_tasks.io.control import Control
from perennial.processes import STOP_SECONDS, Processes, call, tail

if TYPE_CHECKING:
    from collections.abc import Callable

    from perennial.processes import Running

PREFERRED = {"api-server": 8080, "mlflow": 5000}
AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")
NAMES = ("mlflow", "warm", *AIRFLOW)
SHOWN = {"mlflow": "MLflow", "api-server": "Airflow"}
READY_SECONDS = 120
PORTS_TRIED = 200


@dataclass(frozen=True, slots=True)
class Login:
    """Who may enter the UI of Airflow."""

    user: str
    password: str


class Services:
    """All services of one home."""

    def __init__(self, environment: Environment) -> None:
        """Remember the home; nothing is started."""
        self.given = environment
        self.home = environment.home.resolve()
        self.home.mkdir(parents=True, exist_ok=True)
        self.processes = Processes(self.home)

    @cached_property
    def ports(self) -> dict[str, int]:
        """Ports of the services that have one: those they run on, or free ones."""
        known = self.processes.known()
        ports = {}
        for name, preferred in PREFERRED.items():
            before = known[name].port or preferred if name in known else preferred
            alive = name in known and known[name].alive
            ports[name] = before if alive else free_port(before)
        return ports

    def dead(self) -> list[str]:
        """Give the names of the services that do not run."""
        known = self.processes.known()
        return [name for name in NAMES if name not in known or not known[name].alive]

    def require(self, name: str) -> None:
        """Make sure that a service runs.

        Raises:
            BackendError: It does not.
        """
        if name in self.dead():
            raise BackendError(f"{SHOWN.get(name, name)} does not run: perennial up")

    @property
    def airflow_url(self) -> str:
        """Address of Airflow's UI and API."""
        return f"http://127.0.0.1:{self.ports['api-server']}"

    @cached_property
    def environment(self) -> Environment:
        """The environment that tasks are given: with these services' addresses."""
        return self.given.model_copy(
            update={
                "home": self.home,
                "mlflow_url": f"http://127.0.0.1:{self.ports['mlflow']}",
                "warm_socket": self.home / "warm.sock",
            }
        )

    @property
    def present(self) -> Environment:
        """The environment as it is: with the addresses of services, if they run."""
        return self.environment if "mlflow" not in self.dead() else self.given

    @cached_property
    def login(self) -> Login:
        """The only user, with a password that was drawn once."""
        file = self.home / "airflow" / "passwords.json"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps({"admin": secrets.token_urlsafe(9)}))
            file.chmod(0o600)
        return Login("admin", json.loads(file.read_text())["admin"])

    def up(self, on_ready: Callable[[str, float], None]) -> list[str]:
        """Start what does not run and wait until all answer; give the names of what was started.

        Raises:
            BackendError: A service ended or does not answer; with the end of its log.
        """
        missing = self.dead()
        if not missing:
            return []
        if self._moved() and len(missing) < len(NAMES):
            # The others have been told the old addresses.
            self.down()
            missing = list(NAMES)
        Control(self.environment.control).migrate()
        began = time.monotonic()
        with ThreadPoolExecutor(len(missing)) as pool:
            for name in missing:
                if name not in AIRFLOW:
                    self._start(name)
            if set(missing) & set(AIRFLOW):
                self._migrate_airflow()
            for name in missing:
                if name in AIRFLOW:
                    self._start(name)
            waits = {pool.submit(self._wait, name): name for name in missing}
            for wait in as_completed(waits):
                wait.result()
                on_ready(waits[wait], time.monotonic() - began)
        return missing

    def down(self) -> list[str]:
        """End every service; give the names of those that ran."""
        running = {n: r for n, r in self.processes.known().items() if r.alive}
        with ThreadPoolExecutor(len(NAMES)) as pool:
            list(pool.map(lambda one: tree.end(one.pid, grace=STOP_SECONDS), running.values()))
        return list(running)

    def _moved(self) -> bool:
        known = self.processes.known()
        return any(name in known and known[name].port != p for name, p in self.ports.items())

    def _start(self, name: str) -> Running:
        if name == "warm":
            (self.home / "warm.sock").unlink(missing_ok=True)
        return self.processes.start(
            name, self._argv(name), self._environ(), port=self.ports.get(name)
        )

    def _argv(self, name: str) -> list[str]:
        if name == "warm":
            return [sys.executable, "-m", "ml_launch.warm", str(self.home / "warm.sock")]
        if name == "mlflow":
            return [
                *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"),
                *("--port", str(self.ports["mlflow"]), "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{self.home}/mlflow.db"),
                *("--artifacts-destination", (self.home / "mlflow").as_uri()),
            ]
        return [sys.executable, "-m", "airflow", name]

    def _environ(self) -> dict[str, str]:
        home, url = self.home / "airflow", self.airflow_url
        self.login  # noqa: B018 - writes the file that Airflow reads
        settings = {
            "CORE__LOAD_EXAMPLES": "False",
            "CORE__EXECUTOR": "LocalExecutor",
            "CORE__PARALLELISM": "4",
            "CORE__DAGS_FOLDER": str(ROOT / "dags"),
            "CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
            "CORE__EXECUTION_API_SERVER_URL": f"{url}/execution/",
            "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{self.login.user}:admin",
            "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(home / "passwords.json"),
            "DATABASE__SQL_ALCHEMY_CONN": f"sqlite:///{home}/airflow.db",
            "API__HOST": "127.0.0.1",
            "API__PORT": str(self.ports["api-server"]),
            "API__BASE_URL": url,
            "API__WORKERS": "1",
            "API__SECRET_KEY": self._secret("api"),
            "API_AUTH__JWT_SECRET": self._secret("jwt"),
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
            **self.environment.variables(),
            **{f"AIRFLOW__{name}": value for name, value in settings.items()},
            "AIRFLOW_HOME": str(home),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "GIT_PYTHON_REFRESH": "quiet",
        }

    def _secret(self, name: str) -> str:
        file = self.home / "airflow" / f"{name}.secret"
        if not file.is_file():
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(secrets.token_urlsafe(32))
            file.chmod(0o600)
        return file.read_text()

    def _migrate_airflow(self) -> None:
        done = self.home / "airflow" / f"migrated-{version('apache-airflow')}"
        if done.is_file():
            return
        log = self.home / "logs" / "airflow-migrate.log"
        argv = [sys.executable, "-m", "airflow", "db", "migrate"]
        if call(argv, self._environ(), log):
            raise BackendError(f"Airflow's database cannot be made; see {log}")
        done.touch()

    def _wait(self, name: str) -> None:
        limit = time.monotonic() + READY_SECONDS
        while not self.ready(name):
            running = self.processes.known()[name]
            if not running.alive:
                raise BackendError(f"{name} ended; the end of {running.log}:\n{tail(running)}")
            if time.monotonic() > limit:
                raise BackendError(
                    f"{name} did not answer in {READY_SECONDS} s; the end of {running.log}:\n"
                    f"{tail(running)}"
                )
            time.sleep(0.25)

    def ready(self, name: str) -> bool:
        """Tell whether a service does its work."""
        running = self.processes.known().get(name)
        if running is None or not running.alive:
            return False
        if name == "warm":
            return (self.home / "warm.sock").exists()
        if name == "mlflow":
            return _answers(f"{self.environment.mlflow_url}/health") is not None
        health = _answers(f"{self.airflow_url}/api/v2/monitor/health")
        if name == "api-server" or health is None:
            return health is not None
        part: str | None = json.loads(health)[name.replace("-", "_")]["status"]
        return part == "healthy"


def _answers(url: str) -> str | None:
    try:
        answer = httpx.get(url, timeout=3)
    except httpx.HTTPError:
        return None
    return answer.text if answer.is_success else None


def free_port(preferred: int) -> int:
    """Give a port that nobody listens on: the preferred one, or the next.

    Raises:
        BackendError: None of the next 200 is free.
    """
    for port in range(preferred, preferred + PORTS_TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port
    raise BackendError(
        f"ports {preferred} to {preferred + PORTS_TRIED - 1} are taken; free one of them"
    )
