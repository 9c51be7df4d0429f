from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
import torch

from ml_tasks import models
from ml_tasks.config import Training
from ml_tasks.errors import BackendError, ExitCode, RejectedError
from ml_tasks.io import objects
from ml_tasks.models import spec as specs
from ml_tasks.training import export
from ml_tasks.training.checkpoint import Checkpoints
from ml_tasks.training.data import part
from ml_tasks.training.ddp import Place
from ml_tasks.training.loop import Trainer, predict

if TYPE_CHECKING:
    from pathlib import Path

DICE = np.random.default_rng(0)
X = DICE.normal(size=(600, 3))
ROWS = pl.DataFrame({"a": X[:, 0], "b": X[:, 1], "c": X[:, 2]}).with_columns(
    word=pl.Series(np.where(X[:, 2] > 0, "up", "down")),
    label=pl.Series((X[:, 0] + 0.5 * DICE.normal(size=600) > 0.8).astype(float)),
    amount=pl.Series(100 + 30 * X[:, 0]),
)
CPU = torch.device("cpu")
ONE = Place(rank=0, local_rank=0, world_size=1)


def settings(**more: object) -> Training:
    given = {"batch_size": 64, "epochs": 4, "learning_rate": 0.01, "params": {"hidden": [8]}}
    return Training.model_validate({"model": "mlp", **given, **more})


def trainer(
    folder: Path, chosen: Training, task: str = "classification", label: str = "label"
) -> Trainer:
    spec = specs.fit(
        ROWS[:400],
        task=task,  # type: ignore[arg-type]
        numeric=("a", "b", "c"),
        categorical=("word",),
        label=label,
    )
    torch.manual_seed(chosen.seed)
    params = models.params_of(chosen)
    model = models.module("mlp").build(params, spec)
    checkpoints = Checkpoints(folder.as_uri(), "identity")
    return Trainer(model, spec, chosen, ONE, checkpoints, average=params.average)


def fit(made: Trainer, label: str = "label", stop_at: tuple[int, int] | None = None) -> str:
    made.resume()

    def on_step(epoch: int, step: int, _steps: int) -> None:
        if (epoch, step) == stop_at:
            import os
            import signal

            os.kill(os.getpid(), signal.SIGTERM)

    train, validation = (part(r, made.spec, label, CPU) for r in (ROWS[:400], ROWS[400:]))
    made.fit(train, validation, on_step)
    return export.weights_hash(made.model.state_dict())


def test_it_learns_and_the_same_seed_gives_the_same_weights(tmp_path: Path) -> None:
    first = trainer(tmp_path / "1", settings(epochs=10))
    digest = fit(first)
    assert first.history[-1]["roc_auc"] > 0.85
    assert first.history[-1]["train_loss"] < first.history[0]["train_loss"]
    assert fit(trainer(tmp_path / "2", settings(epochs=10))) == digest
    assert fit(trainer(tmp_path / "3", settings(epochs=10, seed=2))) != digest


@pytest.mark.parametrize("average", [0, 0.9])
@pytest.mark.parametrize("stop_at", [(0, 1), (0, 7), (1, 3), (2, 6), (3, 7)])
def test_a_term_writes_a_checkpoint_and_the_rest_is_bit_identical(
    tmp_path: Path, stop_at: tuple[int, int], average: float
) -> None:
    chosen = settings(params={"hidden": [8], "dropout": 0.3, "average": average})
    unbroken = trainer(tmp_path / "1", chosen)
    digest = fit(unbroken)
    with pytest.raises(BackendError, match=rf"SIGTERM at epoch {stop_at[0]}, step {stop_at[1]}:"):
        fit(trainer(tmp_path / "2", chosen), stop_at=stop_at)
    resumed = trainer(tmp_path / "2", chosen)
    assert fit(resumed) == digest
    assert resumed.history == unbroken.history


def test_pieces_add_up_to_the_batch(tmp_path: Path) -> None:
    whole, pieces = (trainer(tmp_path / str(n), settings(epochs=2, accumulation=n)) for n in (1, 5))
    fit(whole)
    fit(pieces)
    for one, other in zip(whole.model.parameters(), pieces.model.parameters(), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-6)


def test_it_stops_early_and_gives_back_the_best_epoch(tmp_path: Path) -> None:
    made = trainer(
        tmp_path, settings(epochs=60, patience=3, learning_rate=0.3, params={"hidden": [64, 64]})
    )
    fit(made)
    losses = [row["log_loss"] for row in made.history]
    assert len(losses) < 60
    assert made.progress.best_epoch == int(np.argmin(losses)) == len(losses) - 4
    validation = part(ROWS[400:], made.spec, "label", CPU)
    said = predict(made.model, validation, made.spec)
    loss = -np.mean(np.log(np.where(ROWS["label"][400:].to_numpy() == 1, said, 1 - said)))
    assert loss == pytest.approx(min(losses), rel=1e-5)


def test_the_model_is_the_mean_of_its_weights(tmp_path: Path) -> None:
    """Against the mean by hand; the weights themselves go their way as without it."""
    seen: list[dict[str, torch.Tensor]] = []
    made = trainer(tmp_path, settings(epochs=1, params={"hidden": [8], "average": 0.5}))
    mean = {name: value.clone() for name, value in made.model.state_dict().items()}
    train, validation = (part(r, made.spec, "label", CPU) for r in (ROWS[:400], ROWS[400:]))

    def on_step(_epoch: int, _step: int, _steps: int) -> None:
        seen.append({n: v.clone() for n, v in made.model.state_dict().items()})

    made.fit(train, validation, on_step)
    for step, weights in enumerate(seen):
        kept = min(0.5, (1 + step) / (10 + step))
        mean = {n: kept * v + (1 - kept) * weights[n] for n, v in mean.items()}
    plain = trainer(tmp_path / "plain", settings(epochs=1))
    fit(plain)
    for name, value in made.model.state_dict().items():
        torch.testing.assert_close(value, mean[name])
        torch.testing.assert_close(seen[-1][name], plain.model.state_dict()[name])


def test_class_weights_raise_the_rare_class(tmp_path: Path) -> None:
    plain, weighted = (
        trainer(tmp_path / str(on), settings(epochs=10, class_weights=on)) for on in (False, True)
    )
    fit(plain)
    fit(weighted)
    assert weighted.history[-1]["recall"] > plain.history[-1]["recall"]


def test_a_regression_answers_in_the_labels_unit(tmp_path: Path) -> None:
    made = trainer(tmp_path, settings(epochs=40, patience=40), "regression", "amount")
    fit(made, "amount")
    assert made.history[-1]["r2"] > 0.95
    said = predict(made.model, part(ROWS, made.spec, "amount", CPU), made.spec)
    assert said.mean() == pytest.approx(100, abs=5)


@pytest.mark.parametrize(
    ("task", "label", "more", "where"),
    [
        ("classification", "label", {}, r"epoch 0, step [1-6] of 7: came loss (nan|inf)"),
        (
            "regression",
            "amount",
            {"batch_size": 400},
            r"epoch 0, validation: came 200 predictions that are not finite",
        ),
    ],
)
def test_a_training_that_diverges_is_refused(
    tmp_path: Path, task: str, label: str, more: dict[str, int], where: str
) -> None:
    # More than a YAML may say.
    far = settings(**more).model_copy(update={"learning_rate": 1e30})
    made = trainer(tmp_path, far, task, label)
    with pytest.raises(RejectedError, match=where) as refused:
        fit(made, label)
    assert refused.value.exit_code == ExitCode.REJECTED
    assert "lower training.learning_rate (it is 1e+30)" in str(refused.value)


def test_foreign_and_broken_checkpoints_do_not_count(tmp_path: Path) -> None:
    store = Checkpoints(tmp_path.as_uri(), "mine")
    assert store.newest() is None
    for epoch in range(4):
        store.save({"epoch": epoch, "step": 0})
    assert len(objects.find(tmp_path.as_uri())) == 2
    other = Checkpoints(tmp_path.as_uri(), "other")
    for epoch in range(2):
        other.save({"epoch": epoch, "step": 0})
        assert (other.newest() or {})["epoch"] == epoch
    objects.write_bytes(f"{store.folder}/000009-00000000.pt", b"half")
    assert (store.newest() or {})["epoch"] == 3
