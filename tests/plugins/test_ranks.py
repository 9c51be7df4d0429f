"""Ranks that are forks of the warm launcher, beside those that torchrun starts."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import psutil
import pytest
import yaml
from ml_launch import on_worker, ranks, tree
from ml_launch.command import Command, command

from ml_tasks.config import ROOT, Environment, TaskResources
from ml_tasks.flow import step
from ml_tasks.io import objects
from tests.ml_tasks.test_train import write_set

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ml_launch.on_worker import LocalLaunch

ROOMY = TaskResources(memory_gb=4)
RANKS = 2
LONG = 5_000
"""Epochs that nobody waits for."""


@pytest.fixture
def environment(tmp_path: Path, warm_socket: Path) -> Environment:
    source = yaml.safe_load((ROOT / "ml_tasks/pipelines/flight_delays.yaml").read_text())
    for name, epochs in (("tiny", 3), ("long", LONG)):
        training = {"epochs": epochs, "patience": epochs, "batch_size": 200, "threads": 1}
        training["params"] = {"hidden": [16], "dropout": 0.2}
        product = {**source, "name": name, "training": source["training"] | training}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(product))
    made = Environment(home=tmp_path / "home", pipelines=tmp_path, warm_socket=warm_socket)
    write_set(made)
    return made


def train(environment: Environment, pipeline: str, run: str) -> Command:
    inputs = {"assemble": f"{environment.objects_root}/assemble.json"}
    return command(
        environment, pipeline, step("train"), run=run, attempt=1, inputs=inputs, processes=RANKS
    )


def test_they_learn_what_torchruns_do(environment: Environment) -> None:
    said: dict[str, list[str]] = {"warm": [], "fresh": []}
    made = {}
    for run, socket in (("warm", environment.warm_socket), ("fresh", None)):
        given = environment.model_copy(update={"warm_socket": socket})
        outcome = on_worker.start(train(given, "tiny", run), ROOMY, given).follow(said[run].append)
        assert outcome.succeeded, said[run]
        assert outcome.result is not None
        assert outcome.result.values["processes"] == RANKS
        outputs = outcome.result.outputs.items()
        made[run] = {name: one.content_hash for name, one in outputs if name != "usage"}
    assert made["warm"] == made["fresh"]
    assert not any("torchrun" in line or "FutureWarning" in line for line in said["warm"])


def running(launch: LocalLaunch, environment: Environment, run: str) -> list[psutil.Process]:
    """Give the agent and its ranks once these have written a checkpoint."""
    folder = f"{environment.objects_root}/runs/long/{run}/train/checkpoints"
    limit = time.monotonic() + 100
    while not objects.find(folder):
        assert time.monotonic() < limit
        time.sleep(0.05)
    return tree.members(launch._process.pid)


@pytest.mark.parametrize(
    ("strike", "codes", "told"),
    [
        # The other rank may or may not come to say that it is alone.
        (lambda _launch, family: family[-1].kill(), {None, 75}, "terminated with signal SIGKILL"),
        (lambda launch, _family: launch.stop(), {75}, "SIGTERM"),
        (lambda _launch, family: family[0].kill(), {None}, ""),
    ],
    ids=["a rank is killed", "the task is stopped", "the agent is killed"],
)
def test_all_end_together(
    environment: Environment,
    strike: Callable[[LocalLaunch, list[psutil.Process]], None],
    codes: set[int | None],
    told: str,
) -> None:
    made = train(environment, "long", "r")
    launch = on_worker.start(made, ROOMY, environment)
    family = running(launch, environment, "r")
    assert len(family) == 1 + RANKS
    strike(launch, family)
    lines: list[str] = []
    outcome = launch.follow(lines.append)
    assert not outcome.succeeded
    error = outcome.result.error if outcome.result else None
    assert (error.exit_code if error else None) in codes
    assert told in "\n".join(lines)
    _gone, alive = psutil.wait_procs(family, timeout=30)
    assert [one for one in alive if one.status() != psutil.STATUS_ZOMBIE] == []


def test_with_gpus_they_are_no_forks(
    environment: Environment, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    assert ranks.may_fork()
    monkeypatch.setattr(ranks, "GPUS", (tmp_path,))
    launch = on_worker.start(train(environment, "tiny", "r"), ROOMY, environment)
    assert "torch.distributed.run" in psutil.Process(launch._process.pid).cmdline()
    launch.stop()
    assert not launch.follow(lambda _line: None).succeeded


def test_memory_that_they_share_counts_once(environment: Environment) -> None:
    launch = on_worker.start(train(environment, "long", "m"), ROOMY, environment)
    family = running(launch, environment, "m")
    resident = sum(one.memory_info().rss for one in family) / 2**20
    shared, _cpu = tree._usage(family[0].pid)
    launch.stop()
    launch.follow(lambda _line: None)
    assert shared < 0.7 * resident
