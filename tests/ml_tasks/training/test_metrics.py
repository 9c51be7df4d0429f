from __future__ import annotations

import math

import numpy as np
import pytest
from sklearn import metrics as sk

from ml_tasks.training.metrics import EDGE, calibration_error, measure, roc_auc

DICE = np.random.default_rng(1)
P = DICE.uniform(size=500)
Y = (DICE.uniform(size=500) < P**2).astype(float)


@pytest.mark.parametrize("p", [P, P.round(1), P.astype(np.float32)], ids=["", "ties", "float32"])
def test_classification_agrees_with_scikit_learn(p: np.ndarray) -> None:
    found, said = measure("classification", Y, p), p >= 0.5
    wanted = {
        "accuracy": sk.accuracy_score(Y, said),
        "precision": sk.precision_score(Y, said),
        "recall": sk.recall_score(Y, said),
        "f1": sk.f1_score(Y, said),
        "roc_auc": sk.roc_auc_score(Y, p),
        "pr_auc": sk.average_precision_score(Y, p),
        "log_loss": sk.log_loss(Y, np.clip(p, EDGE, 1 - EDGE)),
        "brier": sk.brier_score_loss(Y, p),
        "ece": calibration_error(Y, p),
    }
    assert found == pytest.approx(wanted)


@pytest.mark.parametrize(
    ("y", "p", "wanted"),
    [
        ([0, 1], [0.0, 1.0], 0.0),
        ([0, 1], [1.0, 0.0], 1.0),
        ([0, 1], [0.5, 0.5], 0.0),
        ([1, 1, 1, 0], [0.9, 0.9, 0.9, 0.9], 0.15),
        ([0, 1, 1], [0.1, 0.1, 0.9], (2 * 0.4 + 0.1) / 3),
    ],
)
def test_calibration_error(y: list[int], p: list[float], wanted: float) -> None:
    assert calibration_error(np.array(y, float), np.array(p)) == pytest.approx(wanted)


def test_labels_that_are_all_the_same() -> None:
    found = measure("classification", np.zeros(4), np.full(4, 0.2))
    assert math.isnan(found["roc_auc"])
    assert math.isnan(found["pr_auc"])
    assert (found["precision"], found["recall"], found["f1"]) == (0, 0, 0)
    assert math.isfinite(measure("classification", np.ones(2), np.zeros(2))["log_loss"])


def test_a_prediction_that_is_no_number_has_no_rank() -> None:
    with pytest.raises(ValueError, match="nan"):
        roc_auc(np.array([0.0, 1.0]), np.array([np.nan, 0.5]))


def test_regression() -> None:
    y = DICE.normal(size=100)
    p = y + DICE.normal(size=100)
    found = measure("regression", y, p)
    assert found["mae"] == pytest.approx(sk.mean_absolute_error(y, p))
    assert found["rmse"] == pytest.approx(sk.root_mean_squared_error(y, p))
    assert found["r2"] == pytest.approx(sk.r2_score(y, p))
    assert math.isnan(measure("regression", np.ones(3), np.ones(3))["r2"])
