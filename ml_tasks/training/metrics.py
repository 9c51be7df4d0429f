"""What a model's predictions are worth."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

BINS = 15
EDGE = 1e-7
"""Probabilities are kept this far from 0 and 1 where a logarithm is taken."""


def measure(
    task: Literal["classification", "regression"], y: NDArray[np.float64], p: NDArray[np.float64]
) -> dict[str, float]:
    """Give all metrics of a task.

    Args:
        task: What the label is.
        y: Labels `[n]`; 0 or 1 for a classification.
        p: Predictions `[n]`; probabilities of 1, or values in the label's unit.
    """
    return classification(y, p) if task == "classification" else regression(y, p)


def value(
    metric: str,
    task: Literal["classification", "regression"],
    y: NDArray[np.float64],
    p: NDArray[np.float64],
) -> float:
    """Give one metric of a task, without the others where it is one that is often asked for."""
    alone = {"roc_auc": roc_auc, "log_loss": log_loss, "rmse": rmse}
    return alone[metric](y, p) if metric in alone else measure(task, y, p)[metric]


def classification(y: NDArray[np.float64], p: NDArray[np.float64]) -> dict[str, float]:
    """Give accuracy, precision, recall and F1 at one half, rank and calibration metrics.

    ROC AUC and PR AUC are NaN where the labels are all the same.
    """
    import numpy as np
    from sklearn.metrics import average_precision_score

    said = p >= 0.5
    hit = float(np.sum(said & (y == 1)))
    precision = hit / said.sum() if said.any() else 0.0
    recall = hit / y.sum() if y.any() else 0.0
    both = len(np.unique(y)) > 1
    return {
        "accuracy": float(np.mean(said == (y == 1))),
        "precision": float(precision),
        "recall": float(recall),
        "f1": float(2 * precision * recall / (precision + recall)) if hit else 0.0,
        "roc_auc": roc_auc(y, p),
        "pr_auc": float(average_precision_score(y, p)) if both else float("nan"),
        "log_loss": log_loss(y, p),
        "brier": float(np.mean((p - y) ** 2)),
        "ece": calibration_error(y, p),
    }


def roc_auc(y: NDArray[np.float64], p: NDArray[np.float64]) -> float:
    """Give the chance that of two rows the one labelled 1 was given more; NaN without both.

    Source: Hanley and McNeil, The Meaning and Use of the Area under a Receiver Operating
    Characteristic (ROC) Curve, Radiology 143 (1982): it is the Wilcoxon statistic of ranks.
    """
    from scipy.stats import rankdata

    hit = y == 1
    ones, zeros = int(hit.sum()), int((~hit).sum())
    if not ones or not zeros:
        return float("nan")
    return float(
        (rankdata(p, nan_policy="raise")[hit].sum() - ones * (ones + 1) / 2) / (ones * zeros)
    )


def log_loss(y: NDArray[np.float64], p: NDArray[np.float64]) -> float:
    """Give the mean of -log of what was said of the labels."""
    import numpy as np

    inside = np.clip(p, EDGE, 1 - EDGE)
    return float(-np.mean(y * np.log(inside) + (1 - y) * np.log(1 - inside)))


def calibration_error(y: NDArray[np.float64], p: NDArray[np.float64]) -> float:
    """Give the expected calibration error over equal-width bins.

    Source: Guo et al., On Calibration of Modern Neural Networks, ICML 2017, equation 3.
    """
    import numpy as np

    bins = np.minimum((p * BINS).astype(int), BINS - 1)
    gaps = np.abs(np.bincount(bins, weights=p - y, minlength=BINS))
    return float(gaps.sum() / len(y))


def regression(y: NDArray[np.float64], p: NDArray[np.float64]) -> dict[str, float]:
    """Give mean absolute error, root mean squared error and the explained share of variance."""
    import numpy as np

    error, spread = float(np.sum((p - y) ** 2)), float(np.sum((y - y.mean()) ** 2))
    return {
        "mae": float(np.mean(np.abs(p - y))),
        "rmse": rmse(y, p),
        "r2": 1 - error / spread if spread else float("nan"),
    }


def rmse(y: NDArray[np.float64], p: NDArray[np.float64]) -> float:
    """Give the root of the mean squared error."""
    import numpy as np

    return float(np.sqrt(float(np.sum((p - y) ** 2)) / len(y)))
