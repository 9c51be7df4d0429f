"""A training that is killed again and again ends in the weights of one that never was.

Each start of the task is killed at the next 20th step of the whole training, in whichever rank is
drawn, and the next attempt goes on from the last checkpoint; with `PERENNIAL_FAULTS=all` 100 times
at each world size. The processes are forked with torch in memory and have the environment that
torchrun sets. Under torchrun itself a kill is tried in `tests/ml_tasks/test_train.py`; no test says
how long that takes.
"""

from __future__ import annotations

import json
import random
import socket
import statistics
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
import yaml

from ml_tasks.config import Environment
from ml_tasks.io import objects, parquet
from ml_tasks.io.content import content_hash
from ml_tasks.result import Output, Result

if TYPE_CHECKING:
    from pathlib import Path

EVERY, BATCH, ROWS = 20, 100, 3_000
SIGKILLED = -9
MOST_SECONDS = 10
"""From a new start to the end of its first step."""


@dataclass(slots=True)
class Training:
    """One small training task, to be started, killed and started again."""

    forks: Any
    folder: Path
    processes: int
    environ: dict[str, str]

    def argv(self, run: str, attempt: int) -> list[str]:
        root = (self.folder / "home" / "objects").as_uri()
        return [
            *("train", "--pipeline", "tiny", "--run", run, "--attempt", str(attempt)),
            *("--input", f"assemble={root}/assemble.json"),
            *("--result", f"{root}/{run}-{attempt}.json"),
        ]

    def start(
        self, run: str, attempt: int, at_step: int | None = None, killed: int = 0
    ) -> list[Any]:
        """Start all ranks, as torchrun would; one of them is killed before a step."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = str(probe.getsockname()[1])
        told = str(self.folder / f"{run}-{attempt}.told")
        return [
            self.forks.start(
                self.argv(run, attempt),
                environ={
                    **self.environ,
                    **dict.fromkeys(("RANK", "LOCAL_RANK"), str(rank)),
                    "WORLD_SIZE": str(self.processes),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": port,
                },
                at_step=at_step if rank == killed else None,
                told=told,
            )
            for rank in range(self.processes)
        ]

    def finish(self, run: str, attempt: int) -> Any:
        for child in self.start(run, attempt):
            assert child.wait() == 0, child.log.read_text()[-2000:]
        return objects.read_result(self.argv(run, attempt)[-1])

    def kill(self, run: str, attempt: int, at_step: int, rank: int) -> float:
        """Let a rank come to a step and no further; give the seconds to the first one of all."""
        began = time.time()
        ranks = self.start(run, attempt, at_step, rank)
        killed = ranks.pop(rank)
        assert killed.wait() == SIGKILLED, killed.log.read_text()[-2000:]
        for other in ranks:
            other.kill()
            other.wait()
        told = self.folder / f"{run}-{attempt}.told"
        return float(told.read_text()) - began


@pytest.fixture(params=[1, 2])
def training(forks: Any, tmp_path: Path, request: pytest.FixtureRequest, full: bool) -> Training:
    pipelines = forks.folder.parent / "pipelines"
    made = yaml.safe_load((pipelines / "flight_delays.yaml").read_text())
    made["name"] = "tiny"
    epochs = 67 if full else 3  # 30 steps each
    made["training"] |= {
        "epochs": epochs, "patience": epochs, "batch_size": BATCH, "threads": 1,
        "params": {"hidden": [16], "dropout": 0.2},
    }  # fmt: skip
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(made))
    environment = Environment(home=tmp_path / "home")
    write_set(environment.objects_root)
    environ = {"PERENNIAL_HOME": str(tmp_path / "home"), "PERENNIAL_PIPELINES": str(tmp_path)}
    return Training(forks, tmp_path, request.param, environ)


def write_set(root: str) -> None:
    dice = np.random.default_rng(5)
    x = dice.normal(size=(ROWS + 1_000, 2))
    rows = pl.DataFrame(
        {
            "x": x[:, 0],
            "word": np.where(x[:, 1] > 0, "up", "down"),
            "label": (x[:, 0] + dice.normal(size=len(x)) > 0).astype(float),
            "split": ["train"] * ROWS + ["validation"] * 500 + ["test"] * 500,
        }
    ).to_arrow()
    about = {
        "numeric": ["x"], "categorical": ["word"], "label": "label", "task": "classification",
    }  # fmt: skip
    parquet.write(f"{root}/set.parquet", rows)
    objects.write_text(f"{root}/set.json", json.dumps(about))
    outputs = {
        "set": Output(uri=f"{root}/set.parquet", content_hash=content_hash(rows)),
        "description": Output(uri=f"{root}/set.json", content_hash="0"),
    }
    made = Result(task="assemble", pipeline="tiny", run="r", outputs=outputs)
    objects.write_result(f"{root}/assemble.json", made)


def test_killed_at_every_20th_step(training: Training, full: bool) -> None:
    unbroken = training.finish("unbroken", 1)
    kills = 100 if full else 3
    dice = random.Random(f"resume {training.processes}")  # noqa: S311 - no secret
    ranks = [dice.randrange(training.processes) for _ in range(kills)]
    seconds = [training.kill("broken", n, EVERY * n, rank) for n, rank in enumerate(ranks, 1)]
    assert max(seconds) <= MOST_SECONDS
    resumed = training.finish("broken", kills + 1)
    for name in ("weights_hash", "validation", "best_epoch"):
        assert resumed.values[name] == unbroken.values[name]
    assert resumed.outputs["history"].content_hash == unbroken.outputs["history"].content_hash
    note = f"{kills} kills at world size {training.processes}, every {EVERY}th step"
    note += f", {ranks.count(0)} of them of rank 0"
    took = f"median {statistics.median(seconds):.2f} s, longest {max(seconds):.2f} s to a step"
    with (training.forks.folder.parent / "findings").open("a") as file:
        file.write(f"{note}: {took}\n")
