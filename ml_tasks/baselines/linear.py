"""Logistic regression for a classification, ridge for a regression."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from ml_tasks.models.spec import matrix

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from ml_tasks.baselines import Predict
    from ml_tasks.models.spec import Spec


def fit(rows: pl.DataFrame, spec: Spec, label: str, seed: int) -> Predict:
    """Learn from scaled numbers, with marks where they are missing, and one-hot categories."""
    k = len(spec.numeric)
    # Without any column of a kind the library skips that kind, but only where it is told a list.
    numbers, texts = list(range(k)), list(range(k, k + len(spec.categorical)))
    scaled = make_pipeline(
        SimpleImputer(add_indicator=True, keep_empty_features=True), StandardScaler()
    )
    classify = spec.task == "classification"
    # Half of the time; the normal equations of a ridge would lose too many digits by it.
    digits = np.float32 if classify else np.float64
    words = OneHotEncoder(handle_unknown="ignore", dtype=digits)
    inputs = make_column_transformer((scaled, numbers), (words, texts), sparse_threshold=0)
    logistic = LogisticRegression(solver="newton-cholesky", random_state=seed)
    chosen = logistic if classify else Ridge()
    model = make_pipeline(inputs, chosen)
    model.fit(matrix(rows, spec).astype(digits, copy=False), rows[label].to_numpy())

    def predict(asked: pl.DataFrame) -> NDArray[np.float64]:
        x = matrix(asked, spec).astype(digits, copy=False)
        found = (
            model.predict_proba(x)[:, 1] if hasattr(model, "predict_proba") else model.predict(x)
        )
        return np.asarray(found, dtype=np.float64)

    return predict
