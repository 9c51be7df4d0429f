"""The task as it is started in life: under torchrun, killed and started again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import psutil
import pytest
import yaml

from ml_tasks.config import ROOT, Environment
from ml_tasks.io import objects
from ml_tasks.io.content import content_hash
from ml_tasks.models.predict import OnnxModel
from ml_tasks.models.spec import Spec
from ml_tasks.result import Output, Result

if TYPE_CHECKING:
    from pathlib import Path


def write_set(environment: Environment) -> str:
    dice = np.random.default_rng(5)
    x = dice.normal(size=(3000, 2))
    rows = pl.DataFrame(
        {
            "x": x[:, 0],
            "z": x[:, 1],
            "word": np.where(x[:, 1] > 0, "up", "down"),
            "label": (x[:, 0] + dice.normal(size=3000) > 0).astype(float),
            "split": ["train"] * 2000 + ["validation"] * 500 + ["test"] * 500,
        }
    ).to_arrow()
    description = {
        "numeric": ["x", "z"],
        "categorical": ["word"],
        "label": "label",
        "task": "classification",
    }
    root = environment.objects_root
    objects.write_parquet(f"{root}/set.parquet", rows)
    objects.write_text(f"{root}/set.json", json.dumps(description))
    made = Result(
        task="assemble",
        pipeline="p",
        run="r",
        outputs={
            "set": Output(uri=f"{root}/set.parquet", content_hash=content_hash(rows)),
            "description": Output(uri=f"{root}/set.json", content_hash="0"),
        },
    )
    objects.write_result(f"{root}/assemble.json", made)
    return f"{root}/assemble.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = yaml.safe_load((ROOT / "ml_tasks/pipelines/flight_delays.yaml").read_text())
    source["name"] = "tiny"
    source["training"] |= {
        "epochs": 25,
        "patience": 25,
        "batch_size": 20,
        "threads": 1,
        "params": {"hidden": [16], "dropout": 0.2},
    }
    (tmp_path / "tiny.yaml").write_text(yaml.safe_dump(source))
    return tmp_path


def command(environment: Environment, run: str, processes: int, attempt: int = 1) -> list[str]:
    inputs = f"assemble={environment.objects_root}/assemble.json"
    result = f"{environment.objects_root}/{run}-{attempt}.json"
    return [
        *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
        *(f"--nproc-per-node={processes}", "-m", "--", "ml_tasks", "train"),
        *("--pipeline", "tiny", "--run", run, "--attempt", str(attempt)),
        *("--input", inputs, "--result", result),
    ]


def start(folder: Path, argv: list[str]) -> subprocess.Popen[str]:
    env = {
        **os.environ,  # noqa: TID251 - a child's environment
        "PERENNIAL_HOME": str(folder / "home"),
        "PERENNIAL_PIPELINES": str(folder),
        "OMP_NUM_THREADS": "1",
    }
    return subprocess.Popen(
        argv, env=env, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        start_new_session=True,
    )  # fmt: skip


def kill_tree(process: subprocess.Popen[str]) -> None:
    """Kill torchrun and its workers, which are in sessions of their own."""
    family = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
    for member in family:
        member.kill()
    process.communicate()


def finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    return said


@pytest.mark.parametrize("processes", [1, 2])
def test_killed_and_started_again_it_ends_in_the_same_weights(folder: Path, processes: int) -> None:
    environment = Environment(home=folder / "home")
    write_set(environment)
    finish(start(folder, command(environment, "unbroken", processes)))
    unbroken = objects.read_result(f"{environment.objects_root}/unbroken-1.json")

    broken = start(folder, command(environment, "broken", processes))
    checkpoints = f"{environment.objects_root}/runs/tiny/broken/train/checkpoints"
    limit = time.monotonic() + 100
    while len(objects.find(checkpoints)) < 2 and time.monotonic() < limit:
        time.sleep(0.02)
    kill_tree(broken)
    assert not objects.exists(f"{environment.objects_root}/broken-1.json")

    finish(start(folder, command(environment, "broken", processes, attempt=2)))
    resumed = objects.read_result(f"{environment.objects_root}/broken-2.json")
    assert resumed.values["resumed_at_epoch"] >= 1
    assert resumed.values["weights_hash"] == unbroken.values["weights_hash"]
    assert resumed.outputs["history"].content_hash == unbroken.outputs["history"].content_hash
    look_at_usage(unbroken, range(25))
    look_at_usage(resumed, range(resumed.values["resumed_at_epoch"], 25))
    if processes == 1:
        look_at_outputs(resumed)


def look_at_usage(result: Result, epochs: range) -> None:
    rows = json.loads(objects.read_text(result.outputs["usage"].uri or ""))
    assert [row["epoch"] for row in rows] == list(epochs)
    # Each process has torch in memory.
    least = 100 * result.values["processes"]
    assert all(row["system/memory_mb"] > least for row in rows)
    assert sum(row["system/cpu_percent"] for row in rows) > 0
    assert result.resources.gpu_seconds == 0
    assert result.resources.cpu_seconds > result.values["processes"]


def look_at_outputs(result: Result) -> None:
    uris = {name: output.uri or "" for name, output in result.outputs.items()}
    spec = Spec.model_validate(json.loads(objects.read_text(uris["description"]))["spec"])
    rows = pl.DataFrame({"x": [-3.0, 3.0], "z": [None, 0.0], "word": ["up", "sideways"]})
    low, high = OnnxModel(objects.read_bytes(uris["onnx"]), spec).predict(rows)
    assert low < 0.3 < 0.7 < high
    history = json.loads(objects.read_text(uris["history"]))
    assert [row["epoch"] for row in history] == list(range(25))
    assert objects.read_bytes(uris["curves"]).startswith(b"\x89PNG")
    assert result.values["validation"]["roc_auc"] > 0.7


def test_a_rank_that_hangs_is_ended_and_named(tmp_path: Path) -> None:
    script = (
        "import logging, time\n"
        "from ml_tasks.training.watchdog import Watchdog\n"
        "logging.basicConfig()\n"
        "with Watchdog(3, 0.5) as dog:\n"
        "    for step in range(4):\n"
        "        dog.beat(f'epoch 0, step {step}')\n"
        "        time.sleep(0.2)\n"
        "    time.sleep(60)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    assert "rank 3 made no step for 0.5 s; it stood at epoch 0, step 3" in done.stderr
    assert "time.sleep" in done.stderr or "line 8 in <module>" in done.stderr
