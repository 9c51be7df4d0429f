"""The services that a laptop runs: MLflow, the warm launcher, and Airflow's four parts."""

from __future__ import annotations

import hashlib
import json
import socket
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
from ml_launch import tree

from ml_tasks.errors import BackendError, ConfigError
from ml_tasks.io.control import Control
from perennial import settings
from perennial.processes import STOP_SECONDS, Processes, call, tail

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_tasks.config import Environment
    from perennial.processes import Running
    from perennial.settings import Login

PREFERRED = {"api-server": 8080, "mlflow": 5000}
AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")
NAMES = ("mlflow", "warm", *AIRFLOW)
SHOWN = {"mlflow": "MLflow", "api-server": "Airflow"}
READY_SECONDS = 120
POLL_SECONDS = 0.25
PORTS_TRIED = 200
SOCKET_PATH = 100
"""Characters; systems allow 104 or 108."""


class Services:
    """All services of one home."""

    def __init__(self, environment: Environment) -> None:
        """Remember the home; nothing is started.

        Raises:
            ConfigError: The home cannot be made.
        """
        self.given, self.home = environment, environment.home
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise ConfigError(
                f"PERENNIAL_HOME: {self.home} cannot be made: {fault.strerror}; wanted a folder of "
                "yours"
            ) from fault
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
                "warm_socket": self.socket,
            }
        )

    @cached_property
    def socket(self) -> Path:
        """Where the warm launcher listens: in the home, unless its path is too long for that."""
        plain = self.home / "warm.sock"
        if len(str(plain)) <= SOCKET_PATH:
            return plain
        short = hashlib.sha256(str(self.home).encode()).hexdigest()[:12]
        return Path(tempfile.gettempdir()) / f"perennial-{short}.sock"

    @property
    def present(self) -> Environment:
        """The environment as it is: with the addresses of services, if they run."""
        return self.environment if "mlflow" not in self.dead() else self.given

    @property
    def login(self) -> Login:
        """Who may enter the UI of Airflow."""
        return settings.login(self.home / "airflow")

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
        self.processes.end_strays()
        Control(self.environment.control).migrate()
        began = time.monotonic()
        for name in missing:
            if name in AIRFLOW:
                self._migrate_airflow()
            self._start(name)
        waiting = list(missing)
        while waiting:
            for name in [n for n in waiting if self.ready(n)]:
                waiting.remove(name)
                on_ready(name, time.monotonic() - began)
            for name in waiting:
                self._expect(name, time.monotonic() - began)
            time.sleep(POLL_SECONDS)
        return missing

    def down(self) -> list[str]:
        """End every service, and what those that were killed left; give the names that ran."""
        running = {n: r for n, r in self.processes.known().items() if r.alive}
        with ThreadPoolExecutor(len(NAMES)) as pool:
            list(pool.map(lambda one: tree.end(one.pid, grace=STOP_SECONDS), running.values()))
        self.processes.end_strays()
        return list(running)

    def _moved(self) -> bool:
        known = self.processes.known()
        return any(name in known and known[name].port != p for name, p in self.ports.items())

    def _start(self, name: str) -> Running:
        if name == "warm":
            self.socket.unlink(missing_ok=True)
        return self.processes.start(
            name, self._argv(name), self._environ(), port=self.ports.get(name)
        )

    def _argv(self, name: str) -> list[str]:
        if name == "warm":
            return [sys.executable, "-m", "ml_launch.warm", str(self.socket)]
        if name == "mlflow":
            return [
                *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"),
                *("--port", str(self.ports["mlflow"]), "--workers", "1"),
                *("--backend-store-uri", f"sqlite:///{self.home}/mlflow.db"),
                *("--artifacts-destination", (self.home / "mlflow").as_uri()),
            ]
        return [sys.executable, "-m", "airflow", name]

    def _environ(self) -> dict[str, str]:
        home, port = self.home / "airflow", self.ports["api-server"]
        return {
            **self.environment.variables(),
            **settings.variables(home, self.airflow_url, port),
        }

    def _migrate_airflow(self) -> None:
        done = self.home / "airflow" / f"migrated-{version('apache-airflow')}"
        if done.is_file():
            return
        log = self.home / "logs" / "airflow-migrate.log"
        argv = [sys.executable, "-m", "airflow", "db", "migrate"]
        if call(argv, self._environ(), log):
            raise BackendError(f"Airflow's database cannot be made; see {log}")
        done.touch()

    def _expect(self, name: str, seconds: float) -> None:
        """Raise where a service that is waited for has ended, or takes too long."""
        running = self.processes.known()[name]
        if not running.alive:
            raise BackendError(f"{name} ended; the end of {running.log}:\n{tail(running)}")
        if seconds > READY_SECONDS:
            raise BackendError(
                f"{name} did not answer in {READY_SECONDS} s; the end of {running.log}:\n"
                f"{tail(running)}"
            )

    def ready(self, name: str) -> bool:
        """Tell whether a service does its work."""
        running = self.processes.known().get(name)
        if running is None or not running.alive:
            return False
        if name == "warm":
            return self.socket.exists()
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
