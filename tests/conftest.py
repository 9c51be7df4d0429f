"""What all tests share."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import psycopg
import pytest
import sqlalchemy as sa
from ml_launch import tree

from feature_repo import quick_feast
from ml_tasks.config import ROOT, Environment
from perennial import servers, settings
from perennial.processes import Processes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

quick_feast.install()  # before a test imports Feast by itself
pytest_plugins = ("tests.at_once", "tests.together", "tests.tries")
READY_SECONDS = 120


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """An embedded profile of its own."""
    return Environment(home=tmp_path / "home")


@pytest.fixture(scope="session")
def mlflow_server() -> Iterator[Callable[[Path], str]]:
    """Starts real tracking servers on free ports: takes a folder, gives the address."""
    started: list[subprocess.Popen[bytes]] = []

    def start(folder: Path) -> str:
        port = _free_port()
        env = {
            **os.environ,  # noqa: TID251 - a child's environment
            "MLFLOW_BACKEND_STORE_URI": f"sqlite:///{folder}/mlflow.db",
            "MLFLOW_ARTIFACTS_DESTINATION": (folder / "artifacts").as_uri(),
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                settings.argv("mlflow", "127.0.0.1", port, folder),
                env=env,
                cwd=ROOT,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        started.append(server)
        limit = time.monotonic() + READY_SECONDS
        while not _answers(f"http://127.0.0.1:{port}/health"):
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < limit, (folder / "log").read_text()
            time.sleep(0.2)
        return f"http://127.0.0.1:{port}"

    yield start
    for server in started:
        os.killpg(server.pid, signal.SIGKILL)  # what it holds nobody wants any more
        server.wait()


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


@pytest.fixture(scope="session")
def warm_socket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A real warm launcher."""
    with warm_launcher(tmp_path_factory.mktemp("warm")) as address:
        yield address


@contextmanager
def warm_launcher(folder: Path, **variables: str) -> Iterator[Path]:
    """Have a warm launcher run; gives its socket."""
    address = folder / "warm.sock"
    with (folder / "log").open("wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "ml_launch.warm", str(address)],
            env={**os.environ, **variables},  # noqa: TID251 - a child's environment
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    try:
        limit = time.monotonic() + READY_SECONDS
        while not address.exists():
            assert server.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < limit, (folder / "log").read_text()
            time.sleep(0.1)
        yield address
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(10)


@pytest.fixture(scope="session")
def servers_home() -> Iterator[Path]:
    """A folder that other users may enter: Postgres refuses root, and pytest's own are closed."""
    home = Path(tempfile.mkdtemp(prefix="perennial-"))
    home.chmod(0o711)
    yield home
    for running in Processes(home).known().values():
        tree.end(running.pid, grace=0)
    shutil.rmtree(home)


@pytest.fixture(scope="session")
def server(servers_home: Path) -> Callable[[str], servers.Place]:
    """Starts a real server by its name, once; without the program the test is skipped."""
    started: dict[str, servers.Place] = {}

    def start(name: str) -> servers.Place:
        if name in started:
            return started[name]
        if missing := servers.SERVERS[name].missing():
            if os.environ.get("CI"):  # noqa: TID251 - a switch of the tests
                pytest.fail(f"CI has a program too few: {missing}")
            pytest.skip(missing)
        one, place = servers.SERVERS[name], servers.Place(servers_home, "127.0.0.1", _free_port())
        one.prepare(place)
        running = Processes(servers_home).start(
            name, one.argv(place), one.environ(place), port=place.port, user=one.user
        )
        limit = time.monotonic() + READY_SECONDS
        while not one.ready(place):
            assert running.alive, Path(running.log).read_text()
            assert time.monotonic() < limit, Path(running.log).read_text()
            time.sleep(0.1)
        started[name] = place
        return place

    return start


@pytest.fixture
def new_database(server: Callable[[str], servers.Place]) -> Callable[[], str]:
    """Makes empty databases on a real Postgres; gives their addresses."""

    def make() -> str:
        place = server("postgres")
        login = f"{servers.SUPERUSER}:{place.secret(servers.SUPERUSER)}@{place.address}"
        name = f"test_{uuid.uuid4().hex[:12]}"
        with psycopg.connect(f"postgresql://{login}/postgres", autocommit=True) as connection:
            connection.execute(f"CREATE DATABASE {name}".encode())
        return f"postgresql+psycopg://{login}/{name}"

    return make


@pytest.fixture(params=["sqlite", "postgres"])
def database_url(
    request: pytest.FixtureRequest, tmp_path: Path, new_database: Callable[[], str]
) -> str:
    """An empty database of either kind."""
    if request.param == "postgres":
        return new_database()
    return f"sqlite:///{tmp_path}/control.db"


@pytest.fixture
def tamper() -> Callable[[str, str], None]:
    """Changes the audit log as somebody does who owns the database."""

    def change(url: str, statement: str) -> None:
        engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
        with engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("ALTER TABLE audit DISABLE TRIGGER USER"))
            else:
                for name in ("insert", "update", "delete"):
                    connection.execute(sa.text(f"DROP TRIGGER IF EXISTS audit_refuses_{name}"))
            connection.execute(sa.text(statement))

    return change


@pytest.fixture
def redis_url(server: Callable[[str], servers.Place]) -> str:
    """A real Redis, empty."""
    import redis

    place = server("redis")
    url = f"redis://:{place.secret('redis')}@{place.address}/0"
    with redis.Redis.from_url(url) as client:
        client.flushdb()
    return url
