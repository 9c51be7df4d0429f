"""The services of a home: MLflow, the warm launcher, Airflow's four parts, and its servers."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from typing import TYPE_CHECKING

from ml_launch import variables

from ml_tasks import config
from ml_tasks.errors import BackendError, ConfigError
from ml_tasks.io.control import Control
from perennial import addresses, console, databases, health, layout, servers, settings, state
from perennial.addresses import PREFERRED
from perennial.ports import chosen_alone, free_port, socket_path
from perennial.processes import Processes, tail

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from ml_tasks.config import Environment
    from perennial.processes import Running
    from perennial.settings import Login

AIRFLOW = ("api-server", "scheduler", "dag-processor", "triggerer")
SHOWN = {
    "api-server": "Airflow", "mlflow": "MLflow", "postgres": "Postgres", "redis": "Redis",
    "s3": "S3",
}  # fmt: skip
READY_SECONDS = 120
POLL_SECONDS = 0.25


class Services:
    """All services of one home."""

    def __init__(self, environment: Environment, *, airflow: bool = True) -> None:
        """Remember the home; nothing is started.

        Args:
            environment: What a person said.
            airflow: Whether Airflow is among them.

        Raises:
            ConfigError: The home cannot be made.
        """
        self.given, self.home, self.with_airflow = environment, environment.home, airflow
        try:
            self.home.mkdir(parents=True, exist_ok=True)
        except OSError as fault:
            raise ConfigError(
                f"PERENNIAL_HOME: {self.home} cannot be made: {fault.strerror}; wanted a folder of "
                "yours"
            ) from fault
        self.processes = Processes(self.home)

    @cached_property
    def names(self) -> tuple[str, ...]:
        """What runs here, in the order in which it starts."""
        mlflow = ("mlflow",) if addresses.mlflow_wanted(self.given) else ()
        warm = ("warm",) if self.given.launcher == "local" else ()
        airflow = AIRFLOW if self.with_airflow else ()
        return (*servers.wanted(self.given), *mlflow, *warm, *airflow)

    @cached_property
    def ports(self) -> dict[str, int]:
        """Ports of the services that have one: those they run on, or free ones."""
        known = self.processes.known()
        ports = {}
        for name in (name for name in PREFERRED if name in self.names):
            before = known[name].port or PREFERRED[name] if name in known else PREFERRED[name]
            alive = name in known and known[name].alive
            ports[name] = before if alive else free_port(before, self.given.host)
        return ports

    def dead(self) -> list[str]:
        """Give the names of the services that do not run."""
        known = self.processes.known()
        return [name for name in self.names if name not in known or not known[name].alive]

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
        return f"http://{self.given.host}:{self.ports['api-server']}"

    @cached_property
    def environment(self) -> Environment:
        """The environment that tasks are given: with these services' addresses."""
        warm = self.socket if "warm" in self.names else None
        found = addresses.resolve(self.given, self.ports)
        return found.model_copy(update={"warm_socket": warm})

    @cached_property
    def socket(self) -> Path:
        """Where the warm launcher listens."""
        return socket_path(self.home)

    @property
    def present(self) -> Environment:
        """The environment as it is: with the addresses of services, if they run.

        Raises:
            BackendError: A server that holds state does not run.
        """
        if self.given.profile == "embedded":
            return self.environment if "mlflow" not in self.dead() else self.given
        for name in servers.wanted(self.given):
            self.require(name)
        self.environment.enter()
        return self.environment

    @property
    def login(self) -> Login:
        """Who may enter the UI of Airflow."""
        return settings.login(self.home / "airflow")

    def up(self, on_ready: Callable[[str, float], None]) -> list[str]:
        """Start what does not run and wait until all answer; give the names of what was started.

        Raises:
            ConfigError: A program is not there.
            BackendError: A service ended or does not answer; with the end of its log.
        """
        with chosen_alone():
            self._forget_addresses()  # they were chosen when nobody watched over that
            return self._up(on_ready)

    def _up(self, on_ready: Callable[[str, float], None]) -> list[str]:
        state.require_whole(self.home)
        config.names(self.given.pipelines)  # whose DAGs they are to read
        missing, outdated = self.dead(), self.processes.outdated(self.ports)
        addresses.require_reachable(self.environment)
        wanted = self.names if outdated else missing
        servers.require([name for name in wanted if name in servers.SERVERS])
        if missing:
            self.processes.end_strays()  # they may sit on the ports
        if addresses.remember(self.given) or outdated:
            missing = self._ended(on_ready)
        if missing:
            self._bring_up(missing, on_ready)
        self.environment.enter()
        return missing

    def _ended(self, on_ready: Callable[[str, float], None]) -> list[str]:
        """End what runs with other addresses or other code; give what is to be started."""
        if ended := self.down():
            console.note(
                f"started with older code or other addresses, so started anew: {', '.join(ended)}"
            )
        if not self.with_airflow and set(AIRFLOW) & set(ended):
            Services(self.given)._up(on_ready)  # others work with it
            self._forget_addresses()
        return self.dead()

    def _forget_addresses(self) -> None:
        self.__dict__.pop("ports", None)
        self.__dict__.pop("environment", None)

    def stores_up(self, on_ready: Callable[[str, float], None]) -> list[str]:
        """Start what holds state alone, with its databases and buckets; give the names."""
        with chosen_alone():
            stores = [name for name in self.dead() if name in servers.SERVERS]
            servers.require(stores)
            self._stores_up(stores, time.monotonic(), on_ready)
        return stores

    def _stores_up(
        self, stores: Sequence[str], began: float, on_ready: Callable[[str, float], None]
    ) -> None:
        for name in stores:
            self._start(name)
        self._await(stores, began, on_ready)
        if self.given.profile == "servers":
            layout.make(self.given, self.environment, self._at("postgres"))

    def _bring_up(self, missing: Sequence[str], on_ready: Callable[[str, float], None]) -> None:
        began = time.monotonic()
        stores = [name for name in missing if name in servers.SERVERS]
        self._stores_up(stores, began, on_ready)
        Control(self.environment.control).migrate()
        if self.given.launcher == "kubernetes":
            from perennial.cluster import Namespace

            Namespace(self.given.namespace).prepare(self.environment)
        others = [name for name in missing if name not in stores]
        if "warm" in others:
            # Its imports take longer than the databases do, and need none of them.
            self._start("warm")
        databases.migrate(_unused(others), self.environ(), self.home)
        for name in [name for name in others if name != "warm"]:
            self._start(name)
        self._await(others, began, on_ready)

    def _await(
        self, names: Sequence[str], began: float, on_ready: Callable[[str, float], None]
    ) -> None:
        waiting, since = list(names), time.monotonic()
        while waiting:
            for name in [n for n in waiting if self.ready(n)]:
                waiting.remove(name)
                on_ready(name, time.monotonic() - began)
            for name in waiting:
                self._expect(name, time.monotonic() - since)
            time.sleep(POLL_SECONDS)

    def down(self) -> list[str]:
        """End every service, and what those that were killed left; give the names that ran.

        What holds state ends last: the others still write to it.
        """
        running = {n: r for n, r in self.processes.known().items() if r.alive}
        for stores in (False, True):
            wave = [n for n in running if (n in servers.SERVERS) is stores]
            with ThreadPoolExecutor(len(running) or 1) as pool:
                list(pool.map(self.processes.end, wave))
        self.processes.note_stopped(running)
        self.processes.end_strays()
        return list(running)

    def _start(self, name: str) -> Running:
        if name in servers.SERVERS:
            server, place = servers.SERVERS[name], self._place(name)
            server.prepare(place)
            return self.processes.start(
                name, server.argv(place), server.environ(place), port=place.port, user=server.user
            )
        if name == "warm":
            self.socket.unlink(missing_ok=True)
        port = self.ports.get(name)
        argv = settings.argv(name, self.given.host, port, self.socket)
        environ = self.environ()
        if name == "warm":
            environ |= variables.AT_START
        return self.processes.start(name, argv, environ, port=port)

    def environ(self) -> dict[str, str]:
        """Give what MLflow, the warm launcher and Airflow are told."""
        kept, artifacts = layout.kept(self.given, self.environment, self._at("postgres"))
        port = self.ports.get("api-server", PREFERRED["api-server"])
        return {
            **self.environment.variables(),
            **settings.variables(self.home / "airflow", self.given.host, port, kept["airflow"]),
            "MLFLOW_BACKEND_STORE_URI": kept["mlflow"],
            "MLFLOW_ARTIFACTS_DESTINATION": artifacts,
            # Whoever waits for a pod takes up no worker.
            "AIRFLOW__OPERATORS__DEFAULT_DEFERRABLE": str(self.given.launcher == "kubernetes"),
        }

    def _place(self, name: str) -> servers.Place:
        return servers.Place(self.home, self.given.host, self.ports[name])

    def _at(self, name: str) -> str:
        return f"{self.given.host}:{self.ports.get(name, PREFERRED[name])}"

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
        if name in servers.SERVERS:
            return servers.SERVERS[name].ready(self._place(name))
        if name == "warm":
            return self.socket.exists()
        if name == "mlflow":
            return health.mlflow(self.environment.mlflow_url)
        return health.airflow(self.airflow_url, name)


def _unused(missing: Collection[str]) -> list[str]:
    """Give whose databases nobody works with while these services do not run."""
    parts = {"mlflow": ("mlflow",), "airflow": AIRFLOW}
    return [name for name, own in parts.items() if set(own) <= set(missing)]
