"""What a classifier's metrics are expected to be before labels come: CBPE.

Sources: Białek et al., Estimating Model Performance Under Covariate Shift Without Labels,
arXiv:2401.08348 (2023), and NannyML's documentation, Confidence-based Performance Estimation.
Probabilities that hold on the reference say of each row how likely each label is, hence what is
expected of any sum over rows. What they cannot see is a change of the label given the inputs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ml_tasks.monitoring.estimated import Estimated, Spread, blocks
from ml_tasks.training.metrics import EDGE, calibration_error, classification

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

METRICS = (
    "accuracy", "precision", "recall", "f1", "roc_auc", "log_loss", "brier", "positives",
)  # fmt: skip
"""Those of `classification`, but for what averages over labels does not give, and the share of
rows whose label is 1."""


class Params(BaseModel):
    """How it is fitted."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    calibration: Literal["auto", "always", "never"] = "auto"
    """`auto`: where it lowers the calibration error of days that it was not fitted on."""
    folds: int = Field(ge=2, default=10)
    """Into how many blocks of days the reference is cut, to judge by days that were left out."""


@dataclass(frozen=True, slots=True)
class Cbpe:
    """What is kept of a reference."""

    calibrated: bool
    """Whether probabilities are calibrated before they are believed."""
    errors: tuple[float, float]
    """Calibration error of days left out, as predicted and calibrated: why it is, or is not."""
    scores: Numbers
    """Predictions at which the isotonic map bends, ascending."""
    chances: Numbers
    """Chance of a 1 at each of them; linear between, constant beyond."""
    reference: dict[str, float]
    """The reference's realised metrics."""
    own: dict[str, dict[str, float]]
    """By metric and day of the reference: its estimate by what was fitted on other days."""
    spread: dict[str, Spread]

    def calibrate(self, predictions: Numbers) -> Numbers:
        """Give the chance of a 1 for each prediction."""
        if not self.calibrated:
            return predictions
        return np.interp(predictions, self.scores, self.chances)

    def estimate(self, predictions: Numbers) -> Estimated:
        """Give the metrics that are expected of rows of which only the predictions are known.

        The interval is for what will be realised: as wide as the labels' own noise, times how much
        wider than that days of the reference spread.
        """
        known = predictions[np.isfinite(predictions)]
        values, noises = expected(known, self.calibrate(known)) if len(known) else ({}, {})
        return Estimated(
            rows=len(known),
            left_out=len(predictions) - len(known),
            metrics={
                name: self.spread[name].interval(
                    value,
                    noises[name],
                    len(known),
                    highest=np.inf if name == "log_loss" else 1.0,
                )
                for name, value in values.items()
            },
        )

    def save(self, folder: Path) -> None:
        """Keep it in two files; equal references give equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        np.savez(folder / "cbpe.npz", scores=self.scores, chances=self.chances)
        about = {
            "calibrated": self.calibrated,
            "errors": self.errors,
            "reference": self.reference,
            "own": self.own,
            "spread": {name: asdict(one) for name, one in self.spread.items()},
        }
        (folder / "cbpe.json").write_text(f"{json.dumps(about, indent=2)}\n")

    @classmethod
    def load(cls, folder: Path) -> Cbpe:
        """Read what `save` wrote."""
        about = json.loads((folder / "cbpe.json").read_text())
        with np.load(folder / "cbpe.npz", allow_pickle=False) as arrays:
            return cls(
                about["calibrated"],
                (about["errors"][0], about["errors"][1]),
                arrays["scores"],
                arrays["chances"],
                about["reference"],
                about["own"],
                {name: Spread(**one) for name, one in about["spread"].items()},
            )


def fit(
    predictions: Numbers, labels: Numbers, days: NDArray[np.generic], params: Params | None = None
) -> Cbpe:
    """Learn how far predictions can be believed, and how far estimates were off by day.

    Args:
        predictions: Probabilities of 1 of rows that the model was not fitted on `[n]`.
        labels: 0 or 1 `[n]`.
        days: Day of each row `[n]`.
        params: How.

    Raises:
        RejectedError: The reference has but one day.
    """
    told = params or Params()
    folds = blocks(days, told.folds)
    left_out = np.empty_like(predictions)
    for fold in np.unique(folds):
        apart = folds == fold
        left_out[apart] = np.interp(
            predictions[apart], *_isotonic(predictions[~apart], labels[~apart])
        )
    errors = _left_out(labels, predictions, folds), _left_out(labels, left_out, folds)
    calibrated = {"always": True, "never": False, "auto": errors[1] < errors[0]}[told.calibration]
    scores, chances = _isotonic(predictions, labels)
    looked = _looked(predictions, labels, left_out if calibrated else predictions, days)
    return Cbpe(calibrated, errors, scores, chances, _realised(predictions, labels), *looked)


def expected(p: Numbers, chances: Numbers) -> tuple[dict[str, float], dict[str, float]]:
    """Give each metric's expectation and its standard error by the labels' own noise.

    The expectation is the metric of each row twice, as a 1 and as a 0, weighted by the chance of
    either. The error is by the delta method over labels that are independent of each other.

    Args:
        p: Predictions as the model gave them, by which it is measured `[n]`.
        chances: How likely the label is 1 `[n]`.
    """
    n, said = len(p), (p >= 0.5).astype(float)
    claimed, ones, hits = said.sum(), chances.sum(), _dot(said, chances)
    sides = 2 * said - 1
    inside = np.clip(p, EDGE, 1 - EDGE)
    odds = np.log(inside) - np.log(1 - inside)
    precision, recall = hits / max(claimed, 1e-12), hits / max(ones, 1e-12)
    f1 = 2 * hits / max(claimed + ones, 1e-12)
    auc, auc_slopes = _auc(p, chances)
    values = {
        "accuracy": (n - claimed - ones + 2 * hits) / n,
        "precision": precision,
        "recall": recall,
        "f1": f1,
        "roc_auc": auc,
        "log_loss": -(_dot(chances, odds) + np.log(1 - inside).sum()) / n,
        "brier": np.mean(chances * (1 - p) ** 2 + (1 - chances) * p**2),
        "positives": ones / n,
    }
    # What each metric gains by a label that is 1 and not 0 `[n]`.
    slopes = {
        "accuracy": sides / n,
        "precision": said / max(claimed, 1e-12),
        "recall": (said - recall) / max(ones, 1e-12),
        "f1": (2 * said - f1) / max(claimed + ones, 1e-12),
        "roc_auc": auc_slopes,
        "log_loss": -odds / n,
        "brier": (1 - 2 * p) / n,
        "positives": np.full(n, 1 / n),
    }
    unsure = chances * (1 - chances)
    return (
        {name: float(value) for name, value in values.items()},
        {name: float(np.sqrt(_dot(unsure, slope**2))) for name, slope in slopes.items()},
    )


def _dot(one: Numbers, other: Numbers) -> float:
    """Give the sum of products, to the same bit wherever it is added up: BLAS picks its kernel."""
    return float(np.sum(one * other))


def _auc(p: Numbers, chances: Numbers) -> tuple[float, Numbers]:
    """Give ROC AUC over pairs of a 1 and a 0, ties counting half, and its slopes."""
    _scores, index = np.unique(p, return_inverse=True)
    one, zero = (np.bincount(index, weights=w) for w in (chances, 1 - chances))
    below = (np.cumsum(zero) - zero / 2)[index]
    above = (one.sum() - np.cumsum(one) + one / 2)[index]
    ones, zeros = one.sum(), zero.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        auc = _dot(chances, below) / (ones * zeros)
        slopes = (below - above - auc * (zeros - ones)) / (ones * zeros)
    return float(auc), slopes


def _left_out(y: Numbers, p: Numbers, folds: NDArray[np.int64]) -> float:
    """Give the calibration error within each block of days, weighted by its rows.

    Over all blocks at once the map would look better than it is: where one block lies high, the
    map of the others lies low beside it, and the two cancel.
    """
    apart = [folds == fold for fold in np.unique(folds)]
    return float(sum(calibration_error(y[rows], p[rows]) * rows.mean() for rows in apart))


def _isotonic(p: Numbers, y: Numbers) -> tuple[Numbers, Numbers]:
    from sklearn.isotonic import IsotonicRegression

    fitted = IsotonicRegression(out_of_bounds="clip", increasing=True).fit(p, y)
    return fitted.X_thresholds_.astype(float), fitted.y_thresholds_.astype(float)


def _realised(p: Numbers, y: Numbers) -> dict[str, float]:
    found = {**classification(y, p), "positives": float(y.mean())}
    return {name: found[name] for name in METRICS}


def _looked(
    p: Numbers, y: Numbers, chances: Numbers, days: NDArray[np.generic]
) -> tuple[dict[str, dict[str, float]], dict[str, Spread]]:
    """Give the estimates of each day of the reference, and how far off they were."""
    own: dict[str, dict[str, float]] = {name: {} for name in METRICS}
    away: dict[str, list[float]] = {name: [] for name in METRICS}
    noise: dict[str, list[float]] = {name: [] for name in METRICS}
    names, index = np.unique(days, return_inverse=True)
    for place, day in enumerate(names.tolist()):
        rows = index == place
        values, noises = expected(p[rows], chances[rows])
        realised = _realised(p[rows], y[rows])
        for name in METRICS:
            own[name][str(day)] = values[name]
            away[name].append(realised[name] - values[name])
            noise[name].append(noises[name])
    # The labels' own noise is the least there can be.
    return own, {
        name: Spread.of(np.array(away[name]), np.array(noise[name]), len(p), least=1.0)
        for name in METRICS
    }
