"""One process of a training of several, with what torchrun sets around it.

Writes what became of a training that nobody disturbs, of one whose last process alone gets a
SIGTERM, of its rest, and of one that diverges; and of a sum that the last process takes no part in.
"""

from __future__ import annotations

import json
import os
import signal
from typing import TYPE_CHECKING

import torch

from ml_tasks import models
from ml_tasks.config import Training
from ml_tasks.errors import PerennialError
from ml_tasks.models.spec import Spec
from ml_tasks.training import ddp, export
from ml_tasks.training.checkpoint import Checkpoints
from ml_tasks.training.loop import Part, Trainer
from ml_tasks.training.neighbours import neighbours

if TYPE_CHECKING:
    from pathlib import Path

STOP_AT = (1, 3)
DICE = torch.Generator().manual_seed(1)
X = torch.randn(500, 3, generator=DICE)
Y = (X[:, 0] + torch.randn(500, generator=DICE) > 0).float()
CODES = torch.zeros(500, 0, dtype=torch.int64)
SPEC = Spec(
    task="classification", numeric=("a", "b", "c"), categorical=(), vocabularies=(),
    mean=(0.0,) * 3, scale=(1.0,) * 3,
)  # fmt: skip
TRAIN, VALIDATION = (Part(X[rows], CODES[rows], Y[rows]) for rows in (slice(401), slice(401, 500)))


def trainer(folder: Path, dropout: float = 0.3, **more: object) -> Trainer:
    given = {"batch_size": 64, "epochs": 3, "learning_rate": 0.01}
    params = {"hidden": [8], "dropout": dropout, "average": 0.9}
    settings = Training.model_validate({"model": "mlp", "params": params, **given})
    settings = settings.model_copy(update=more)  # more than a YAML may say
    torch.manual_seed(ddp.place().rank)  # the first one's weights count
    model = models.module("mlp").build(models.params_of(settings), SPEC)
    store = Checkpoints(folder.as_uri(), "identity")
    made = Trainer(model, SPEC, settings, ddp.place(), store, average=0.9)
    made.resume()
    return made


def outcome(made: Trainer, stop_at: tuple[int, int] | None = None) -> list[object]:
    def on_step(epoch: int, step: int, _steps: int) -> None:
        if (epoch, step) == stop_at and made.place.rank == made.place.world_size - 1:
            os.kill(os.getpid(), signal.SIGTERM)

    try:
        made.fit(TRAIN, VALIDATION, on_step)
    except PerennialError as fault:
        return [type(fault).__name__, str(fault), made.progress.epoch, made.progress.step]
    losses = [epoch["train_loss"] for epoch in made.history]
    flat = torch.cat([weights.flatten() for weights in made.model.parameters()])
    return [export.weights_hash(made.model.state_dict()), losses, flat.tolist()]


def left() -> str | None:
    """What the others are told where the last process has left."""
    place = ddp.place()
    if not 1 < place.world_size == place.local_world_size:
        return None
    joined = neighbours(place, 3)
    assert joined is not None
    joined.add_up(torch.ones(3))
    if place.rank == place.world_size - 1:
        joined.close()
        return None
    try:
        joined.add_up(torch.ones(3))
    except PerennialError as fault:
        return f"{type(fault).__name__}: {fault}"
    return None


def main(folder: Path, told: dict[str, str]) -> None:
    """Run one process of those whose folder it is, with such variables."""
    os.environ.update(told)  # noqa: TID251 - as torchrun does
    torch.set_num_threads(1)
    with ddp.group(ddp.place()):
        found = {
            "whole": outcome(trainer(folder / "whole")),
            "stopped": outcome(trainer(folder / "stopped"), STOP_AT),
            "resumed": outcome(trainer(folder / "stopped")),
            "certain": outcome(trainer(folder / "certain", dropout=0)),
            "diverged": outcome(trainer(folder / "diverged", learning_rate=1e30)),
            "left": left(),
        }
    (folder / f"{told['RANK']}.json").write_text(json.dumps(found))
