"""An epoch of `flight_delays`' training on a random set of its shape, as a process of it runs it.

`torchrun … -m bench.epoch WIDTH BATCH FOLDER`: the first process prints the seconds of each epoch.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ml_tasks import config, models
from ml_tasks.config import ROOT
from ml_tasks.models.spec import Spec
from ml_tasks.training import ddp
from ml_tasks.training.checkpoint import Checkpoints
from ml_tasks.training.loop import Part, Trainer

if TYPE_CHECKING:
    from ml_tasks.config import Training
    from ml_tasks.training.ddp import Place

ROWS, VALIDATION_ROWS = 65_536, 13_000
"""About ten weeks to learn from, and two to stop by."""
WORDS = (16, 3, 105)
"""Carriers, airports of departure and of arrival."""
REPETITIONS = 5


def training(batch: int | None = None) -> Training:
    """Give the product's settings, for one epoch."""
    settings = config.load("flight_delays", ROOT / "ml_tasks" / "pipelines").training
    return settings.model_copy(
        update={"epochs": 1, "batch_size": batch or settings.batch_size, "processes": 1}
    )


def part(width: int, rows: int) -> Part:
    dice = torch.Generator().manual_seed(1)
    codes = [torch.randint(0, words + 1, (rows,), generator=dice) for words in WORDS]
    return Part(
        x=torch.randn(rows, width, generator=dice),
        codes=torch.stack(codes, dim=1),
        y=(torch.rand(rows, generator=dice) < 0.25).float(),
    )


def trainer(settings: Training, width: int, folder: Path, place: Place) -> Trainer:
    names = tuple(str(number) for number in range(width))
    spec = Spec(
        task="classification", numeric=names, mean=(0.0,) * width, scale=(1.0,) * width,
        categorical=("carrier", "origin", "dest"),
        vocabularies=tuple(tuple(f"{code:03}" for code in range(words)) for words in WORDS),
    )  # fmt: skip
    torch.manual_seed(settings.seed)
    params = models.params_of(settings)
    model = models.module(settings.model).build(params, spec)
    store = Checkpoints(folder.as_uri(), "bench")
    return Trainer(model, spec, settings, place, store, average=params.average)


def ready(settings: Training) -> None:
    """Set torch as the task does."""
    torch.set_num_threads(settings.threads)
    torch.use_deterministic_algorithms(mode=True)


def main(width: int, batch: int, folder: Path) -> None:
    place, settings = ddp.place(), training(batch)
    ready(settings)
    train, validation = part(width, ROWS), part(width, VALIDATION_ROWS)
    seconds = []
    with ddp.group(place):
        for number in range(REPETITIONS + 1):
            made = trainer(settings, width, folder / str(number), place)
            ddp.meet(place)
            began = time.perf_counter()
            made.fit(train, validation, lambda *_: None)
            seconds.append(time.perf_counter() - began)
    if place.rank == 0:
        print(json.dumps(seconds[1:]))


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
