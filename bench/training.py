"""What our training loop adds to an epoch, and what a second process takes away from it.

An epoch is one pass over 65,536 random rows as wide as `flight_delays`' training set, with its
network, batch and threads. Ours is `Trainer.fit` with all that it does beside learning: rate
schedule, random numbers drawn anew each step, the mean of the weights, a checkpoint. The bare loop
does the same steps on tensors in memory and nothing else; so does the loop over a `DataLoader` of a
`TensorDataset`, which fetches row by row. Lightning runs in an environment of its own, on a network
of the same layers, beside a bare loop of its own. One process and two run under torchrun, in turn;
their epochs end with the validation of 13,000 rows as well. All have the same optimiser.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import time
from functools import partial
from typing import TYPE_CHECKING, Any

import torch
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

from bench import ROOT, epoch
from bench.measured import Measured
from ml_tasks import models
from ml_tasks.io import features
from ml_tasks.training.ddp import Place

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from ml_tasks.config import Training
    from ml_tasks.training.loop import Part, Trainer

ALONE = Place(rank=0, local_rank=0, world_size=1)
BATCHES = (1_024, 4_096)
"""Beside the YAML's."""
ROUNDS = 3
OURS, BARE, LOADER = "ours", "a bare loop", "PyTorch's DataLoader"
PEERS = ROOT / ".venv-bench" / "bin" / "python"


def measure(folder: Path) -> Iterator[Measured]:
    """Measure loops in this process, Lightning in its own, and processes under torchrun."""
    width = len(features.refs("flight_delays_v1")) + 1  # and the distance
    yield from loops(folder / "loops", width)
    yield from processes(folder / "processes", width)


def loops(folder: Path, width: int) -> Iterator[Measured]:
    settings = epoch.training()
    epoch.ready(settings)
    train, few = epoch.part(width, epoch.ROWS), epoch.part(width, 64)
    seconds: dict[str, list[float]] = {OURS: [], BARE: [], LOADER: []}
    for number in range(epoch.REPETITIONS + 1):
        made = {
            name: epoch.trainer(settings, width, folder / f"{number}", ALONE) for name in seconds
        }
        work: dict[str, Callable[[], object]] = {
            OURS: partial(made[OURS].fit, train, few, lambda *_: None),
            BARE: partial(bare, made[BARE], train, settings),
            LOADER: partial(loaded, made[LOADER], train, settings),
        }
        for name, run in work.items():
            began = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - began)
    found = {name: statistics.median(each[1:]) for name, each in seconds.items()}
    what = f"an epoch at batch {settings.batch_size}"
    for peer, bound in ((BARE, 1.2), (LOADER, None)):
        yield Measured(what, found[OURS], peer, found[peer], "s", bound)
    theirs, own = lightning(settings, width)
    note = f"a bare loop in Lightning's own process took {own:.2f} s"
    yield Measured(what, found[OURS], "Lightning", theirs, "s", note=note)


def bare(trainer: Trainer, train: Part, settings: Training) -> None:
    model, optimiser = trainer.model, trainer.optimiser
    for rows in torch.randperm(len(train.y)).split(settings.batch_size):
        own = train.taken(rows)
        loss = functional.binary_cross_entropy_with_logits(model(own.x, own.codes), own.y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def loaded(trainer: Trainer, train: Part, settings: Training) -> None:
    model, optimiser = trainer.model, trainer.optimiser
    rows = TensorDataset(train.x, train.codes, train.y)
    for x, codes, y in DataLoader(rows, batch_size=settings.batch_size, shuffle=True):
        loss = functional.binary_cross_entropy_with_logits(model(x, codes), y)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()


def lightning(settings: Training, width: int) -> tuple[float, float]:
    """Give the seconds of Lightning's epoch, and of a bare loop beside it."""
    told: dict[str, Any] = {
        **models.params_of(settings).model_dump(mode="json"),
        "width": width, "words": epoch.WORDS, "rows": epoch.ROWS, "batch": settings.batch_size,
        "threads": settings.threads, "learning_rate": settings.learning_rate,
        "weight_decay": settings.weight_decay, "repetitions": epoch.REPETITIONS,
    }  # fmt: skip
    said = _said(str(PEERS), "bench/lightning_epoch.py", json.dumps(told))
    return statistics.median(said["lightning"]), statistics.median(said["bare"])


def processes(folder: Path, width: int) -> Iterator[Measured]:
    own = epoch.training().batch_size
    for batch in (own, *BATCHES):
        seconds: dict[int, list[float]] = {1: [], 2: []}
        for number in range(ROUNDS):
            for count, found in seconds.items():
                found += _said(
                    *(sys.executable, "-m", "torch.distributed.run", "--standalone"),
                    *(f"--nproc-per-node={count}", "-m", "--", "bench.epoch", str(width)),
                    *(str(batch), str(folder / f"{batch}-{number}-{count}")),
                )
        one, two = (statistics.median(found) for found in seconds.values())
        bound = 1 / 1.3 if batch == own else None
        note = f"{one / two:.2f} times as fast; 1.3 times are promised" if bound else ""
        yield Measured(f"two processes at batch {batch}", two, "one", one, "s", bound, note)


def _said(*command: str) -> Any:
    """Run a program with one thread a process; give the JSON of its last line."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}  # noqa: TID251 - a child's environment
    done = subprocess.run(  # noqa: S603 - our own words
        command, cwd=ROOT, env=env, stdout=subprocess.PIPE, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])
