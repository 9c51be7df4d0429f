"""Ranks that are forks of the warm launcher, beside those that torchrun starts."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import psutil
import pytest
import yaml
from ml_launch import ranks, start, tree
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
RANKS, GPUS = 2, ranks.GPUS
LONG = 5_000
"""Epochs that nobody waits for."""


@pytest.fixture(autouse=True)
def no_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ranks, "GPUS", ())


@pytest.fixture
def environment(tmp_path: Path, warm_socket: Path) -> Environment:
    source = yaml.safe_load((ROOT / "ml_tasks/pipelines/flight_delays.yaml").read_text())
    for name, epochs in (("tiny", 25), ("long", LONG)):
        training = {"epochs": epochs, "patience": epochs, "batch_size": 100, "threads": 1}
        training["params"] = {"hidden": [16], "dropout": 0.2}
        product = {**source, "name": name, "training": source["training"] | training}
        (tmp_path / f"{name}.yaml").write_text(yaml.safe_dump(product))
    made = Environment(home=tmp_path / "home", pipelines=tmp_path, warm_socket=warm_socket)
    write_set(made)
    return made


def train(environment: Environment, pipeline: str, run: str, attempt: int = 1) -> Command:
    inputs = {"assemble": f"{environment.objects_root}/assemble.json"}
    return command(
        environment, pipeline, step("train"), run=run, attempt=attempt, inputs=inputs,
        processes=RANKS,
    )  # fmt: skip


def learned(launch: LocalLaunch) -> dict[str, str]:
    """Give the content hash of each output that a training left, but for what it used."""
    said: list[str] = []
    outcome = launch.follow(said.append)
    assert outcome.succeeded, said
    assert outcome.result is not None
    assert outcome.result.values["processes"] == RANKS
    outputs = outcome.result.outputs.items()
    return {name: one.content_hash for name, one in outputs if name != "usage"}


def test_they_learn_what_torchruns_do_also_where_one_was_killed(environment: Environment) -> None:
    cold = environment.model_copy(update={"warm_socket": None})
    wanted = learned(start(train(cold, "tiny", "fresh"), ROOMY, cold))
    assert learned(start(train(environment, "tiny", "warm"), ROOMY, environment)) == wanted

    launch = start(train(environment, "tiny", "broken"), ROOMY, environment)
    running(launch)[-1].kill()
    assert not launch.follow(lambda _line: None).succeeded
    again = train(environment, "tiny", "broken", attempt=2)
    assert learned(start(again, ROOMY, environment)) == wanted


def running(launch: LocalLaunch) -> list[psutil.Process]:
    """Give the agent and its ranks once these have written a checkpoint."""
    folder = f"{launch.result.partition('/train/')[0]}/train/checkpoints"
    limit = time.monotonic() + 100
    while not objects.find(folder):
        assert time.monotonic() < limit
        time.sleep(0.05)
    return tree.members(launch._process.pid)


@pytest.mark.parametrize(
    ("strike", "codes", "told"),
    [
        # The other rank may or may not come to say that it is alone, and the agent tells of one.
        (lambda _launch, family: family[-1].kill(), {None, 75}, "terminated with"),
        # The agent tells them once more, maybe while the first one writes.
        (lambda launch, _family: launch.stop(), {None, 75}, "SIGTERM"),
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
    launch = start(made, ROOMY, environment)
    family = running(launch)
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
    (tmp_path / "dxg").touch()
    monkeypatch.setattr(ranks, "DEVICES", tmp_path)
    monkeypatch.setattr(ranks, "GPUS", GPUS)
    launch = start(train(environment, "tiny", "r"), ROOMY, environment)
    process, limit = psutil.Process(launch._process.pid), time.monotonic() + 30
    while not process.cmdline():  # it is being loaded
        assert time.monotonic() < limit
    assert "torch.distributed.run" in process.cmdline()
    launch.stop()
    assert not launch.follow(lambda _line: None).succeeded


def test_of_memory_that_they_share_each_has_its_part(environment: Environment) -> None:
    launch = start(train(environment, "long", "r"), ROOMY, environment)
    family = running(launch)
    resident = sum(one.memory_info().rss for one in family) / 2**20
    threading.Timer(2, launch.stop).start()
    curve = launch.follow(lambda _line: None).curve
    assert 0 < max(sample.memory_mb for sample in curve) < 0.7 * resident
