"""The training loop: the same for one process and many."""

from __future__ import annotations

import copy
import math
import signal
from contextlib import contextmanager
from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from ml_tasks.errors import BackendError, RejectedError
from ml_tasks.training import ddp, dice
from ml_tasks.training.metrics import measure
from ml_tasks.training.sums import Sums

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from ml_tasks.config import Training
    from ml_tasks.models.spec import Spec
    from ml_tasks.training.checkpoint import Checkpoints

PREDICT_ROWS = 65_536
Epoch = dict[str, float]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows of one part on the device: numbers `[n, k]`, codes `[n, m]`, labels `[n]`."""

    x: Tensor
    codes: Tensor
    y: Tensor

    def taken(self, rows: Tensor) -> Part:
        """Give the rows of these numbers; an index in brackets takes three times as long."""
        return Part(*(every.index_select(0, rows) for every in (self.x, self.codes, self.y)))


@dataclass(slots=True)
class Progress:
    """Where a training stands, beside the weights."""

    epoch: int = 0
    step: int = 0
    best: float = math.inf
    best_epoch: int = -1
    waited: int = 0
    """Epochs since the best one."""
    loss: float = 0.0
    """Sum of the epoch's losses so far."""


class Trainer:
    """Fits one model.

    Random numbers are drawn anew from seed, epoch, step and rank: a training that resumes needs
    no generator's state, and its order of rows is that of one that never stopped.
    """

    def __init__(
        self,
        model: nn.Module,
        spec: Spec,
        settings: Training,
        place: ddp.Place,
        checkpoints: Checkpoints,
        *,
        average: float = 0.0,
    ) -> None:
        """Make optimiser and schedule, from the first process's weights; nothing runs yet.

        Args:
            model: What is trained, on its device.
            spec: What preprocessing has learned.
            settings: How to train.
            place: This process among all.
            checkpoints: Where they are written and found.
            average: How much of the mean of the weights a step keeps; 0 for the weights as such.
        """
        self.model, self.spec, self.settings, self.place = model, spec, settings, place
        self.checkpoints, self.average = checkpoints, average
        ddp.alike(place, model)
        self.averaged = copy.deepcopy(model) if average else model
        self.optimiser = torch.optim.AdamW(
            model.parameters(),
            lr=settings.learning_rate,
            weight_decay=settings.weight_decay,
            fused=True,
        )
        self.progress = Progress()
        self.history: list[Epoch] = []
        self.best_weights = _copy(model)
        self._stop = False

    def fit(
        self, train: Part, validation: Part, on_step: Callable[[int, int, int], None]
    ) -> list[Epoch]:
        """Train until the epochs are done or validation stays behind; restore the best epoch.

        Args:
            train: Rows to learn from.
            validation: Rows that decide when to stop.
            on_step: Told epoch, step and number of steps after each step.

        Returns:
            One dictionary of metrics an epoch.

        Raises:
            BackendError: SIGTERM came, to this process or another one of the training; all have
                stopped after the same step, and its checkpoint was written.
            RejectedError: The loss or a prediction is no finite number any more.
        """
        weights = self._class_weights(train.y)
        steps = math.ceil(len(train.y) / self.settings.batch_size)
        with Sums(self.place, self.model, numbers=2) as sums, _on_term(self._ask_to_stop):
            while self._goes_on():
                self._epoch(sums, train, weights, steps, on_step)
                self._close_epoch(validation, steps)
        self.model.load_state_dict(self.best_weights)
        return self.history

    def _goes_on(self) -> bool:
        progress, settings = self.progress, self.settings
        return progress.epoch < settings.epochs and progress.waited < settings.patience

    def _epoch(
        self,
        sums: Sums,
        train: Part,
        weights: Tensor | None,
        steps: int,
        on_step: Callable[[int, int, int], None],
    ) -> None:
        progress = self.progress
        order = torch.randperm(
            len(train.y), generator=dice.generator(self.settings.seed, progress.epoch)
        )
        order = order.to(train.y.device)
        self.model.train()
        while progress.step < steps:
            size = self.settings.batch_size
            rows = order[progress.step * size : (progress.step + 1) * size]
            loss, asked = self._step(sums, train, rows, weights, steps)
            progress.loss += loss
            progress.step += 1
            on_step(progress.epoch, progress.step, steps)
            if asked or (self._stop and self.place.world_size == 1):
                self._save()
                # Where one process of many ends, torchrun ends the one that still writes.
                ddp.meet(self.place)
                raise BackendError(
                    f"SIGTERM at epoch {progress.epoch}, step {progress.step}: a checkpoint is "
                    "written; the next attempt goes on from there"
                )

    def _step(
        self, sums: Sums, train: Part, rows: Tensor, weights: Tensor | None, steps: int
    ) -> tuple[float, bool]:
        """Learn from one batch; each process takes its share, in as many pieces as configured.

        Losses are summed and divided by the whole batch's size, so that neither the number of
        processes nor that of pieces changes the gradient.

        Returns:
            The batch's loss, and whether a process of the training was asked to stop.
        """
        settings, place, progress = self.settings, self.place, self.progress
        dice.sow(train.x.device, settings.seed, progress.epoch, progress.step, place.rank)
        for group in self.optimiser.param_groups:
            group["lr"] = self._rate(progress.epoch * steps + progress.step, steps)
        share, own = rows.tensor_split(place.world_size)[place.rank], 0.0
        sums.clear()
        for piece in share.tensor_split(settings.accumulation):
            taken = train.taken(piece)
            raw = self.model(taken.x, taken.codes)
            loss = self._loss(raw, taken.y, weights) / len(rows)
            torch.autograd.backward(loss)
            own += loss.item()
        total, asked = sums.over_all(own, self._stop)
        if not math.isfinite(total):
            raise self._lost(f"step {progress.step} of {steps}", f"loss {total}")
        self.optimiser.step()
        if self.average:
            self._average(progress.epoch * steps + progress.step)
        return total, bool(asked)

    def _lost(self, where: str, came: str) -> RejectedError:
        return RejectedError(
            f"training, epoch {self.progress.epoch}, {where}: came {came}, wanted finite numbers; "
            f"lower training.learning_rate (it is {self.settings.learning_rate:g}), and look in "
            "the set for labels and columns that are not finite or far out of their range"
        )

    @torch.no_grad()
    def _average(self, step: int) -> None:
        """Move the mean of the weights towards them; the first steps weigh more than later ones."""
        kept = min(self.average, (1 + step) / (10 + step))
        for mean, now in zip(self.averaged.parameters(), self.model.parameters(), strict=True):
            mean.lerp_(now, 1 - kept)

    def _loss(self, raw: Tensor, y: Tensor, weights: Tensor | None) -> Tensor:
        """Give the sum of the rows' losses."""
        if self.spec.task == "regression":
            wanted = (y - self.spec.target_mean) / self.spec.target_scale
            return functional.mse_loss(raw, wanted, reduction="sum")
        weight = None if weights is None else weights[y.long()]
        return functional.binary_cross_entropy_with_logits(raw, y, weight, reduction="sum")

    def _class_weights(self, y: Tensor) -> Tensor | None:
        """Weigh classes so that each counts alike and the mean weight is 1."""
        if not self.settings.class_weights or self.spec.task != "classification":
            return None
        counts = torch.stack([(y == 0).sum(), (y == 1).sum()]).to(y.dtype)
        return len(y) / (2 * counts.clamp(min=1))

    def _rate(self, step: int, steps: int) -> float:
        """Give the learning rate: half a cosine from its start to 0."""
        turn = step / (steps * self.settings.epochs)
        return self.settings.learning_rate * 0.5 * (1 + math.cos(math.pi * turn))

    def _close_epoch(self, validation: Part, steps: int) -> None:
        progress = self.progress
        said = predict(self.averaged, validation, self.spec)
        if lost := int((~np.isfinite(said)).sum()):
            raise self._lost("validation", f"{lost} predictions that are not finite")
        metrics = measure(self.spec.task, validation.y.cpu().numpy().astype(float), said)
        watched = metrics["log_loss" if self.spec.task == "classification" else "rmse"]
        loss = progress.loss / steps
        self.history.append({"epoch": progress.epoch, "train_loss": loss, **metrics})
        if watched < progress.best:
            progress.best, progress.best_epoch, progress.waited = watched, progress.epoch, 0
            self.best_weights = _copy(self.averaged)
        else:
            progress.waited += 1
        progress.epoch, progress.step, progress.loss = progress.epoch + 1, 0, 0.0
        self._save()

    def _save(self) -> None:
        if self.place.rank == 0:
            self.checkpoints.save(self._state())

    def _state(self) -> dict[str, Any]:
        return {
            **asdict(self.progress),
            "model": _copy(self.model),
            "averaged": _copy(self.averaged),
            "best_weights": self.best_weights,
            "optimiser": self.optimiser.state_dict(),
            "history": self.history,
        }

    def resume(self) -> int | None:
        """Go on from the newest checkpoint; give its epoch, or `None` where there is none."""
        state = self.checkpoints.newest()
        if state is None:
            return None
        self.averaged.load_state_dict(state["averaged"])
        self.model.load_state_dict(state["model"])
        self.optimiser.load_state_dict(state["optimiser"])
        self.best_weights, self.history = state["best_weights"], state["history"]
        self.progress = Progress(**{field.name: state[field.name] for field in fields(Progress)})
        return self.progress.epoch

    def _ask_to_stop(self) -> None:
        self._stop = True


@torch.no_grad()
def predict(model: nn.Module, part: Part, spec: Spec) -> NDArray[np.float64]:
    """Give predictions `[n]`: probabilities, or values in the label's unit."""
    model.eval()
    slices = [slice(start, start + PREDICT_ROWS) for start in range(0, len(part.y), PREDICT_ROWS)]
    raw = torch.cat([model(part.x[rows], part.codes[rows]) for rows in slices]).double()
    if spec.task == "classification":
        return raw.sigmoid().cpu().numpy()
    return (raw * spec.target_scale + spec.target_mean).cpu().numpy()


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}


@contextmanager
def _on_term(act: Callable[[], None]) -> Iterator[None]:
    before = signal.signal(signal.SIGTERM, lambda _number, _frame: act())
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
