"""What a regression's errors are expected to be before labels come: direct loss estimation.

Source: NannyML's documentation, Direct Loss Estimation. Another model learns from the reference
how far off predictions are, given the inputs and the prediction; its mean over rows without labels
is their expected error. What it cannot see is a change of the label given the inputs.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from ml_tasks.monitoring.columns import Vocabulary, numbers
from ml_tasks.monitoring.estimated import Estimated, Spread, blocks
from ml_tasks.training.metrics import regression

if TYPE_CHECKING:
    from pathlib import Path

    import lightgbm
    import pyarrow as pa
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

METRICS = ("mae", "rmse")
LOSSES = ("absolute", "squared")
"""What is learned of each row; their means make the metrics, in the same order."""


class Params(BaseModel):
    """How it is fitted; where nothing is said, as LightGBM does and NannyML with it."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    trees: int = Field(gt=0, default=100)
    leaves: int = Field(gt=1, default=31)
    rows_per_leaf: int = Field(gt=0, default=20)
    learning_rate: float = Field(gt=0, default=0.1)
    seed: int = 0
    folds: int = Field(ge=2, default=5)
    """Into how many blocks of days the reference is cut, to judge by days that were left out."""


@dataclass(frozen=True, slots=True)
class Dle:
    """What is kept of a reference."""

    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    vocabularies: tuple[Vocabulary, ...]
    models: tuple[str, str]
    """LightGBM's text of the model of each loss."""
    reference: dict[str, float]
    """The reference's realised metrics."""
    own: dict[str, dict[str, float]]
    """By metric and day of the reference: its estimate by what was fitted on other days."""
    spread: dict[str, Spread]

    def losses(self, rows: pa.Table, predictions: Numbers) -> tuple[Numbers, Numbers]:
        """Give each row's expected absolute and squared error, which are never below 0."""
        import lightgbm

        x = _matrix(self, rows, predictions)
        absolute, squared = (
            np.maximum(np.asarray(lightgbm.Booster(model_str=text).predict(x, num_threads=1)), 0)
            for text in self.models
        )
        return absolute, squared

    def estimate(self, rows: pa.Table, predictions: Numbers) -> Estimated:
        """Give the metrics that are expected of rows without labels.

        Args:
            rows: Hold the columns that it was fitted on; null where nothing is known.
            predictions: What the model said of them `[n]`.
        """
        known = np.isfinite(predictions)
        found = self.losses(rows.filter(known), predictions[known]) if known.any() else None
        values, noises = ({}, {}) if found is None else _metrics(*found)
        n = int(known.sum())
        return Estimated(
            rows=n,
            left_out=len(predictions) - n,
            metrics={
                name: self.spread[name].interval(value, noises[name], n)
                for name, value in values.items()
            },
        )

    def save(self, folder: Path) -> None:
        """Keep it in three files; equal references give equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, text in zip(LOSSES, self.models, strict=True):
            (folder / f"dle_{name}.txt").write_text(text)
        about = asdict(self)
        del about["models"]
        (folder / "dle.json").write_text(f"{json.dumps(about, indent=2)}\n")

    @classmethod
    def load(cls, folder: Path) -> Dle:
        """Read what `save` wrote."""
        about = json.loads((folder / "dle.json").read_text())
        absolute, squared = ((folder / f"dle_{name}.txt").read_text() for name in LOSSES)
        return cls(
            tuple(about["numeric"]),
            tuple(about["categorical"]),
            tuple(Vocabulary(tuple(one["words"])) for one in about["vocabularies"]),
            (absolute, squared),
            about["reference"],
            about["own"],
            {name: Spread(**one) for name, one in about["spread"].items()},
        )


@dataclass(frozen=True, slots=True)
class _Inputs:
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    vocabularies: tuple[Vocabulary, ...]


def fit(
    rows: pa.Table,
    predictions: Numbers,
    labels: Numbers,
    days: NDArray[np.generic],
    *,
    numeric: tuple[str, ...],
    categorical: tuple[str, ...] = (),
    params: Params | None = None,
) -> Dle:
    """Learn how far off predictions are, and how far estimates of that were off by day.

    Args:
        rows: Inputs of rows that the model was not fitted on.
        predictions: What the model said of them `[n]`.
        labels: What came true `[n]`.
        days: Day of each row `[n]`.
        numeric: Which columns are numbers; null is learned as missing.
        categorical: Which are texts; null is a text of its own.
        params: How.

    Raises:
        RejectedError: The reference has but one day.
    """
    told = params or Params()
    inputs = _Inputs(numeric, categorical, tuple(Vocabulary.of(rows, name) for name in categorical))
    x = _matrix(inputs, rows, predictions)
    sorts = list(range(len(numeric), len(numeric) + len(categorical)))
    losses = np.abs(labels - predictions), (labels - predictions) ** 2
    folds = blocks(days, told.folds)
    left_out = np.empty_like(x[:, :2])
    for fold in np.unique(folds):
        apart = folds == fold
        for number, loss in enumerate(losses):
            model = _boosted(x[~apart], loss[~apart], sorts, told)
            left_out[apart, number] = np.maximum(model.predict(x[apart], num_threads=1), 0)
    absolute, squared = (_boosted(x, loss, sorts, told).model_to_string() for loss in losses)
    measured = regression(labels, predictions)
    return Dle(
        numeric,
        categorical,
        inputs.vocabularies,
        (absolute, squared),
        {name: measured[name] for name in METRICS},
        *_looked(labels, predictions, left_out, days),
    )


def _matrix(inputs: Dle | _Inputs, rows: pa.Table, predictions: Numbers) -> Numbers:
    """Give numbers, codes and the prediction side by side `[n, k + m + 1]`."""
    codes = [
        words.codes(rows, name).astype(float)
        for name, words in zip(inputs.categorical, inputs.vocabularies, strict=True)
    ]
    return np.column_stack([numbers(rows, inputs.numeric), *codes, predictions])


def _boosted(x: Numbers, loss: Numbers, sorts: list[int], params: Params) -> lightgbm.Booster:
    import lightgbm

    told = {
        "objective": "regression",
        "num_leaves": params.leaves,
        "min_data_in_leaf": params.rows_per_leaf,
        "learning_rate": params.learning_rate,
        "seed": params.seed,
        "deterministic": True,
        "force_col_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }
    data = lightgbm.Dataset(x, loss, categorical_feature=sorts)
    return lightgbm.train(told, data, num_boost_round=params.trees)


def _metrics(absolute: Numbers, squared: Numbers) -> tuple[dict[str, float], dict[str, float]]:
    """Give the metrics of expected losses, and their noise where a loss spreads as it is large.

    How much wider it spreads than that is in the factor that the reference's days give.
    """
    n, rmse = len(absolute), float(np.sqrt(squared.mean()))
    noise = float(np.sqrt(np.sum(absolute**2))) / n
    half = float(np.sqrt(np.sum(squared**2))) / n / (2 * rmse) if rmse else np.nan
    return {"mae": float(absolute.mean()), "rmse": rmse}, {"mae": noise, "rmse": half}


def _looked(
    labels: Numbers, predictions: Numbers, left_out: Numbers, days: NDArray[np.generic]
) -> tuple[dict[str, dict[str, float]], dict[str, Spread]]:
    """Give the estimates of each day of the reference, and how far off they were."""
    own: dict[str, dict[str, float]] = {name: {} for name in METRICS}
    away, noise = [], []
    names, index = np.unique(days, return_inverse=True)
    for place, day in enumerate(names.tolist()):
        rows = index == place
        values, noises = _metrics(left_out[rows, 0], left_out[rows, 1])
        realised = regression(labels[rows], predictions[rows])
        for name in METRICS:
            own[name][str(day)] = values[name]
        away.append([realised[name] - values[name] for name in METRICS])
        noise.append([noises[name] for name in METRICS])
    far, wide = np.array(away), np.array(noise)
    return own, {
        name: Spread.of(far[:, number], wide[:, number], len(labels))
        for number, name in enumerate(METRICS)
    }
