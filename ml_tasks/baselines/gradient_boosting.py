"""Histogram gradient boosting with scikit-learn's defaults."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

from ml_tasks.models.spec import matrix

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from ml_tasks.baselines import Predict
    from ml_tasks.models.spec import Spec

CATEGORIES = 255
"""More categories than this in one column the library does not take: they count as numbers."""


def fit(rows: pl.DataFrame, spec: Spec, label: str, seed: int) -> Predict:
    """Learn from numbers with gaps and category codes."""
    sorts = [False] * len(spec.numeric)
    sorts += [len(words) < CATEGORIES for words in spec.vocabularies]
    classify = spec.task == "classification"
    kind = HistGradientBoostingClassifier if classify else HistGradientBoostingRegressor
    model = kind(categorical_features=sorts, random_state=seed)
    learned = matrix(rows, spec)
    # The library does not take a column without any value.
    known = np.isfinite(learned).any(axis=0)
    model.fit(np.where(known, learned, 0.0), rows[label].to_numpy())

    def predict(asked: pl.DataFrame) -> NDArray[np.float64]:
        x = np.where(known, matrix(asked, spec), 0.0)
        found = model.predict_proba(x)[:, 1] if classify else model.predict(x)
        return np.asarray(found, dtype=np.float64)

    return predict
