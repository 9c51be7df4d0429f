"""Says the same of every row: the share of ones, or the mean."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from ml_tasks.baselines import Predict
    from ml_tasks.models.spec import Spec


def fit(rows: pl.DataFrame, _spec: Spec, label: str, _seed: int) -> Predict:
    """Learn the mean of the label."""
    mean = float(rows[label].to_numpy().mean())

    def predict(asked: pl.DataFrame) -> NDArray[np.float64]:
        return np.full(asked.height, mean)

    return predict
