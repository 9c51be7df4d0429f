"""A classifier that is asked whether a row is of the reference or of the window.

Source: Lopez-Paz and Oquab, Revisiting Classifier Two-Sample Tests, ICLR 2017.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from pydantic import Field

from ml_tasks.config.numbers import Few
from ml_tasks.drift_tests import alibi, together

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from ml_tasks.drift_tests.kept import Engine, Kept, State, Told

SEES = "table"
ENGINES = ("alibi-detect", "scipy")
LEAST_ROWS = 20


class Params(together.SampleParams):
    """How many rows are compared, and by which classifier."""

    folds: Few = Field(ge=2, le=10, default=3)
    """Each row is judged by a classifier that was fitted without its fold."""
    trees: Few = Field(ge=1, default=30)


def compare(
    reference: NDArray[np.float32], window: NDArray[np.float32], params: Params, engine: Engine,
    *, alone: bool,  # noqa: ARG001 - the p-value costs nothing
) -> tuple[float, float | None]:  # fmt: skip
    """Give how far the window's probabilities lie above the reference's, and its p-value."""
    if engine == "alibi-detect":
        words = {
            "model": _model(params), "backend": "sklearn", "n_folds": params.folds,
            "seed": params.seed, "preds_type": "probs", "binarize_preds": False,
        }  # fmt: skip
        return alibi.score("ClassifierDrift", reference, window, words, params.seed)
    from scipy.stats import ks_2samp
    from sklearn.model_selection import StratifiedKFold, cross_val_predict

    points = np.concatenate([reference, window])
    which = np.repeat([0, 1], [len(reference), len(window)])
    folds = StratifiedKFold(params.folds, shuffle=True, random_state=params.seed)
    judged = cross_val_predict(_model(params), points, which, cv=folds, method="predict_proba")
    own, other = judged[which == 0, 1], judged[which == 1, 1]
    found = ks_2samp(own, other, alternative="greater")
    return float(found.statistic), float(found.pvalue)


def _model(params: Params) -> Any:
    from sklearn.ensemble import ExtraTreesClassifier

    return ExtraTreesClassifier(
        params.trees, min_samples_leaf=5, random_state=params.seed, n_jobs=1
    )


def fit(reference: pa.Table, told: Told) -> Kept:
    """Draw a sample of rows."""
    return together.fit(reference, told, compare, LEAST_ROWS)


def restore(state: State, told: Told, rows: int) -> Kept:
    """Make it again of what was saved."""
    return together.restore(state, told, rows, compare, LEAST_ROWS)
