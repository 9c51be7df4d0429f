"""What all tests share."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import httpx
import pytest

from ml_tasks.config import Environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

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
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        env = {
            **os.environ,  # noqa: TID251 - a child's environment
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_DISABLE_TELEMETRY": "true",
        }
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(
                [
                    *(sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1"),
                    *("--port", str(port), "--workers", "1"),
                    *("--backend-store-uri", f"sqlite:///{folder}/mlflow.db"),
                    *("--artifacts-destination", (folder / "artifacts").as_uri()),
                ],
                env=env,
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
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def _answers(url: str) -> bool:
    try:
        return httpx.get(url, timeout=2).is_success
    except httpx.HTTPError:
        return False
