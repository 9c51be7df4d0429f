"""Logistic regression for a classification, ridge for a regression."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np
from sklearn.compose import make_column_transformer
from sklearn.impute import MissingIndicator, SimpleImputer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, OneHotEncoder, StandardScaler

from ml_tasks.models.spec import matrix

if TYPE_CHECKING:
    import polars as pl
    from numpy.typing import NDArray

    from ml_tasks.baselines import Predict
    from ml_tasks.models.spec import Spec


def fit(rows: pl.DataFrame, spec: Spec, label: str, seed: int) -> Predict:
    """Learn from scaled numbers, with marks where they are missing, and one-hot categories."""
    learned, k = matrix(rows, spec), len(spec.numeric)
    # Without any column of a kind the library skips that kind, but only where it is told a list.
    numbers, texts = list(range(k)), list(range(k, k + len(spec.categorical)))
    scaled = make_pipeline(
        SimpleImputer(keep_empty_features=True, copy=False), StandardScaler(copy=False)
    )
    marks = make_pipeline(MissingIndicator(features="all"), StandardScaler())
    inputs = make_column_transformer(
        (scaled, numbers),
        (marks, _marked(learned[:, :k])),
        (OneHotEncoder(handle_unknown="ignore"), texts),
        sparse_threshold=0,
    )
    classify = spec.task == "classification"
    logistic = LogisticRegression(solver="newton-cholesky", random_state=seed)
    chosen = logistic if classify else Ridge()
    # In single precision the logistic's Hessian is ill-conditioned, as are the ridge's equations.
    double = FunctionTransformer(partial(np.asarray, dtype=np.float64))
    model = make_pipeline(inputs, double, chosen).fit(learned, rows[label].to_numpy())

    def predict(asked: pl.DataFrame) -> NDArray[np.float64]:
        x = matrix(asked, spec)
        found = (
            model.predict_proba(x)[:, 1] if hasattr(model, "predict_proba") else model.predict(x)
        )
        return np.asarray(found, dtype=np.float64)

    return predict


def _marked(numbers: NDArray[np.float32]) -> list[int]:
    """Give columns that are missing in some rows; of several in the same rows, the first.

    Features of one view are missing together: of 120 of flights, half are marked by another.
    """
    missing = np.isnan(numbers)
    some = np.flatnonzero(missing.any(axis=0) & ~missing.all(axis=0))
    _, first = np.unique(np.packbits(missing[:, some], axis=0), axis=1, return_index=True)
    return [int(column) for column in np.sort(some[first])]
