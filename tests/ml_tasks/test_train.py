"""The task as a pod starts it: under a fresh torchrun, killed and started again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import psutil
import pytest
import yaml

from ml_tasks import train
from ml_tasks.config import ROOT, Environment
from ml_tasks.errors import BackendError
from ml_tasks.io import objects, parquet
from ml_tasks.io.content import content_hash
from ml_tasks.models.predict import OnnxModel
from ml_tasks.models.spec import Spec
from ml_tasks.result import Output, Result

if TYPE_CHECKING:
    from pathlib import Path


FULL = os.environ.get("PERENNIAL_FAULTS") == "all"  # noqa: TID251 - a switch of the tests
LARGE = {"epochs": 12, "patience": 12, "batch_size": 512, "params": {"hidden": [128, 64]}}
LARGE_ROWS, KILLS = 400_000, 10
ALONE_OR_NOT = (1, 2) if FULL else (2,)
"""One process is killed at every so many steps by `tests/faults/test_resume.py`."""


def write_set(environment: Environment, rows: int = 3000) -> str:
    dice = np.random.default_rng(5)
    x, sixth = dice.normal(size=(rows, 2)), rows // 6
    table = pl.DataFrame(
        {
            "x": x[:, 0],
            "z": x[:, 1],
            "word": np.where(x[:, 1] > 0, "up", "down"),
            "label": (x[:, 0] + dice.normal(size=rows) > 0).astype(float),
            "split": ["train"] * (rows - 2 * sixth) + ["validation"] * sixth + ["test"] * sixth,
        }
    ).to_arrow()
    description = {
        "numeric": ["x", "z"],
        "categorical": ["word"],
        "label": "label",
        "task": "classification",
    }
    root = environment.objects_root
    parquet.write(f"{root}/set.parquet", table)
    objects.write_text(f"{root}/set.json", json.dumps(description))
    made = Result(
        task="assemble",
        pipeline="p",
        run="r",
        outputs={
            "set": Output(uri=f"{root}/set.parquet", content_hash=content_hash(table)),
            "description": Output(uri=f"{root}/set.json", content_hash="0"),
        },
    )
    objects.write_result(f"{root}/assemble.json", made)
    return f"{root}/assemble.json"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with a product that learns in seconds."""
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


def kill_tree(process: subprocess.Popen[str]) -> str:
    """Kill torchrun and its workers, which are in sessions of their own; give what they said."""
    if process.poll() is None:
        root = psutil.Process(process.pid)
        for member in [root, *root.children(recursive=True)]:
            member.kill()
    return process.communicate()[0]


def finish(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=200)
    assert process.returncode == 0, said
    return said


@pytest.mark.parametrize("processes", ALONE_OR_NOT)
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
    look_at_outputs(resumed)


@pytest.mark.skipif(not FULL, reason="minutes: PERENNIAL_FAULTS=all")
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("processes", ALONE_OR_NOT)
def test_a_large_one_is_killed_at_random_and_ends_in_the_same_weights(
    folder: Path, processes: int
) -> None:
    """Any process of it is killed at any time: torchrun's own, or a rank."""
    source = yaml.safe_load((folder / "tiny.yaml").read_text())
    source["training"] |= LARGE
    (folder / "tiny.yaml").write_text(yaml.safe_dump(source))
    environment, dice = Environment(home=folder / "home"), np.random.default_rng(processes)
    write_set(environment, LARGE_ROWS)
    began = time.monotonic()
    finish(start(folder, command(environment, "unbroken", processes)))
    whole = time.monotonic() - began
    unbroken = objects.read_result(f"{environment.objects_root}/unbroken-1.json")

    def held(run: str, attempt: int) -> None:
        found = objects.read_result(f"{environment.objects_root}/{run}-{attempt}.json")
        assert found.values["weights_hash"] == unbroken.values["weights_hash"]
        assert found.outputs["history"].content_hash == unbroken.outputs["history"].content_hash

    run, attempt = 1, 1
    for _ in range(KILLS):
        running = start(folder, command(environment, f"broken{run}", processes, attempt))
        time.sleep(dice.uniform(0.2, 0.6) * whole)
        while running.poll() is not None:
            held(f"broken{run}", attempt)
            run, attempt = run + 1, 1
            running = start(folder, command(environment, f"broken{run}", processes, attempt))
            time.sleep(dice.uniform(0.2, 0.6) * whole)
        root = psutil.Process(running.pid)
        members = [root, *root.children(recursive=True)]
        dice.shuffle(members)
        for member in members:  # a launcher ends what is left of a group
            with suppress(psutil.NoSuchProcess):
                member.kill()
            time.sleep(dice.uniform(0, 0.2))
        running.communicate()
        attempt += 1
    finish(start(folder, command(environment, f"broken{run}", processes, attempt)))
    held(f"broken{run}", attempt)


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


HANGS = """
import math, os, signal, time
true, left = math.cos, iter(range(30))

def cos(x):
    if os.environ.get("RANK") == "1" and next(left, None) is None:
        WHAT
    return true(x)

math.cos = cos
"""
"""The learning rate of each step takes a cosine: in the 31st step rank 1 gets no further."""


@pytest.mark.parametrize("stopped", [False, True], ids=["asleep", "stopped"])
def test_the_rank_that_hangs_is_named_and_no_other(
    folder: Path, monkeypatch: pytest.MonkeyPatch, stopped: bool
) -> None:
    what = "os.kill(os.getpid(), signal.SIGSTOP)" if stopped else "time.sleep(600)"
    (folder / "sitecustomize.py").write_text(HANGS.replace("WHAT", what))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    source = yaml.safe_load((folder / "tiny.yaml").read_text())
    source["training"]["watchdog_seconds"] = 5
    (folder / "tiny.yaml").write_text(yaml.safe_dump(source))
    environment = Environment(home=folder / "home")
    write_set(environment)
    started = start(folder, command(environment, "hangs", 2))
    answer, limit = f"{environment.objects_root}/hangs-1.json", time.monotonic() + 100
    while not objects.exists(answer) and time.monotonic() < limit:
        time.sleep(0.1)
    while not stopped and started.poll() is None and time.monotonic() < limit:
        time.sleep(0.1)
    log = kill_tree(started)
    error = objects.read_result(answer).error
    assert error is not None, log
    assert (error.kind, error.exit_code) == ("StuckError", 75)
    assert error.message.startswith("rank 1 keeps the others waiting: no step for 5 s")
    assert "rank 0" not in error.message
    assert ("no sign of life" in error.message) == stopped
    assert stopped or "it stood at epoch 0, step 30 of 100" in error.message
    dumped = [rank for rank in (0, 1) if f"Threads of rank {rank}:" in log]
    assert dumped == ([0] if stopped else [0, 1])
    assert "in add_up" in log
    assert stopped or "sitecustomize.py" in log


def test_a_process_alone_that_hangs_is_ended(tmp_path: Path) -> None:
    script = (
        "import logging, time\n"
        "from ml_tasks.training.ddp import Place\n"
        "from ml_tasks.training.watchdog import Watchdog\n"
        "logging.basicConfig()\n"
        "with Watchdog(Place(0, 0, 1), 0.5, print) as dog:\n"
        "    for step in range(4):\n"
        "        dog.beat(f'epoch 0, step {step}')\n"
        "        time.sleep(0.2)\n"
        "    time.sleep(60)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=30, check=False
    )
    assert done.returncode == 1
    why = "rank 0 made no step for 0.5 s; it stood at epoch 0, step 3"
    assert done.stdout == f"{why}\n"
    assert f"{why}. Threads of rank 0:" in done.stderr
    assert "line 9 in <module>" in done.stderr


def test_ranks_that_would_go_on_from_different_checkpoints_begin_again() -> None:
    train._require_together([(3, 17), (3, 17)])
    with pytest.raises(BackendError, match=r"different checkpoints, at epoch and step \[\(3, 17\)"):
        train._require_together([(3, 17), (4, 0)])
