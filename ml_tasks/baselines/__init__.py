"""Plain models that a candidate has to beat: a file here and one line in `BASELINES`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    import polars as pl
    from numpy.typing import NDArray

    from ml_tasks.models.spec import Spec

    Predict = Callable[[pl.DataFrame], NDArray[np.float64]]

BASELINES = {
    "majority": "ml_tasks.baselines.majority",
    "mean": "ml_tasks.baselines.majority",
    "logistic_regression": "ml_tasks.baselines.linear",
    "linear_regression": "ml_tasks.baselines.linear",
    "gradient_boosting": "ml_tasks.baselines.gradient_boosting",
}


class Baseline(Protocol):
    """What each module of the table offers."""

    def fit(self, rows: pl.DataFrame, spec: Spec, label: str, seed: int) -> Predict:
        """Learn from the rows; give what predicts probabilities, or values."""
        ...


def baseline(name: str) -> Baseline:
    """Import a baseline.

    Raises:
        ConfigError: There is none of that name.
    """
    if name not in BASELINES:
        raise ConfigError(f"evaluation.baselines: came {name!r}, wanted some of {list(BASELINES)}")
    return cast("Baseline", importlib.import_module(BASELINES[name]))
