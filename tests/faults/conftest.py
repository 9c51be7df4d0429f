"""Real task processes, forked with everything imported, and a real tracking server."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import yaml

from ml_tasks.config import ROOT

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

HERE = Path(__file__).parent
PIPELINE = "flight_delays"


@dataclass(slots=True)
class Forks:
    """Starts children of a process in which everything is imported."""

    folder: Path
    environ: dict[str, str]
    server: subprocess.Popen[str] = field(init=False)
    number: int = 0
    alive: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.folder.mkdir()
        env = {
            **os.environ,  # noqa: TID251 - a child's environment
            **self.environ,
            **dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"),
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "GX_ANALYTICS_ENABLED": "false",
            "TMPDIR": str(self.folder),
        }
        self.server = subprocess.Popen(
            [sys.executable, str(HERE / "forks.py")],
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=(self.folder / "log").open("w"),
            text=True,
            start_new_session=True,
        )
        assert self._answer() == "ready", (self.folder / "log").read_text()

    def _answer(self) -> str:
        assert self.server.stdout is not None
        return self.server.stdout.readline().strip()

    def request(self, **what: Any) -> int:
        assert self.server.stdin is not None
        self.server.stdin.write(json.dumps(what) + "\n")
        self.server.stdin.flush()
        answer = self._answer()
        assert answer, (self.folder / "log").read_text()[-3000:]
        return int(answer)

    def start(
        self, argv: list[str], *, environ: dict[str, str] | None = None, **faults: Any
    ) -> Child:
        self.number += 1
        points, log = self.folder / f"{self.number}.points", self.folder / f"{self.number}.log"
        pid = self.request(
            argv=argv, points=str(points), log=str(log), environ=environ or {}, **faults
        )
        self.alive.add(pid)
        return Child(self, pid, points, log)

    def ask(self, question: str, **arguments: Any) -> Any:
        child = self.start([], ask=question, arguments=arguments)
        assert child.wait() == 0, child.log.read_text()
        return json.loads(child.points.read_text())

    def close(self) -> None:
        for pid in self.alive:  # of a test that failed, perhaps stopped
            with contextlib.suppress(ProcessLookupError):
                os.killpg(pid, signal.SIGKILL)
        assert self.server.stdin is not None
        self.server.stdin.close()
        self.server.wait(20)


@dataclass(frozen=True, slots=True)
class Child:
    """One task's process."""

    forks: Forks
    pid: int
    points: Path
    log: Path

    def wait(self) -> int:
        code = self.forks.request(wait=self.pid)
        self.forks.alive.discard(self.pid)
        return code

    def until_stopped(self) -> bool:
        """Tell whether it has stopped itself; `False` when it has ended instead."""
        process = psutil.Process(self.pid)
        while (status := process.status()) != psutil.STATUS_STOPPED:
            if status == psutil.STATUS_ZOMBIE:
                return False
            time.sleep(0.02)
        return True

    def resume(self) -> int:
        os.kill(self.pid, signal.SIGCONT)
        return self.wait()

    def kill(self) -> None:
        os.killpg(self.pid, signal.SIGKILL)

    @property
    def passed(self) -> list[str]:
        return self.points.read_text().splitlines() if self.points.exists() else []


@pytest.fixture(scope="session")
def full() -> bool:
    return os.environ.get("PERENNIAL_FAULTS") == "all"  # noqa: TID251 - a switch of the tests


@pytest.fixture(scope="session")
def tracking(
    tmp_path_factory: pytest.TempPathFactory, mlflow_server: Callable[[Path], str]
) -> tuple[str, Path]:
    """A real tracking server's address, and its folder."""
    folder = tmp_path_factory.mktemp("world")
    return mlflow_server(folder), folder


@pytest.fixture(scope="session")
def forks(tracking: tuple[str, Path]) -> Iterator[Forks]:
    url, folder = tracking
    (folder / "pipelines").mkdir()
    (folder / "pipelines" / f"{PIPELINE}.yaml").write_text(yaml.safe_dump(_pipeline()))
    opened = Forks(
        folder / "forks",
        {
            "PERENNIAL_HOME": str(folder / "home"),
            "PERENNIAL_PIPELINES": str(folder / "pipelines"),
            "PERENNIAL_MLFLOW_URL": url,
            "PERENNIAL_COMMIT": "c0ffee",
            # A zombie asks for what its successor removed, and the server says "500" to that.
            "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "2",
        },
    )
    yield opened
    opened.close()


def _pipeline() -> dict[str, Any]:
    """The example product, small: a week of flights that land as files, one quick training."""
    made = yaml.safe_load((ROOT / "ml_tasks" / "pipelines" / f"{PIPELINE}.yaml").read_text())
    for name, source in made["sources"].items():
        source |= {"kind": "parquet", "params": {"path": f"{name}/{{date}}/*.parquet"}}
    for rule in made["validation"]["expectations"]["flights"]:
        if rule["column"] == "distance":
            rule["max_value"] = 4_900  # so that a few rows of each day go to quarantine
    made["validation"]["tolerated_bad_share"] = 0.1
    made["split"] = {"validation_days": 1, "test_days": 1, "gap_days": 0}
    made["training"] |= {"epochs": 2, "params": {"hidden": [16]}}
    floor = {"name": "floor", "params": {"metric": "roc_auc", "minimum": 0.3}}
    made["evaluation"] |= {
        "gates": [floor], "baselines": ["majority"], "segments": {}, "bootstrap_samples": 20,
    }  # fmt: skip
    made["monitoring"] = {
        "retraining": {
            "policies": [{"name": "schedule", "params": {"days": 1}}],
            "cool_down_days": 0,
        }
    }
    return made
