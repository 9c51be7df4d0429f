"""What a drift may cost the metric, as far as that can be said before labels come."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ml_tasks.monitoring.columns import numbers
from ml_tasks.training.metrics import measure

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import polars as pl
    from numpy.typing import NDArray

    from ml_tasks.monitoring.outliers import Ecod

    Numbers = NDArray[np.float64]

MOST_ROWS = 2_000
"""More are not shuffled: what a column is worth is wanted to a digit, not to three."""


def importance(
    predict: Callable[[pl.DataFrame], Numbers],
    rows: pl.DataFrame,
    columns: Sequence[str],
    *,
    task: str,
    metric: str,
    sign: int,
    seed: int,
) -> dict[str, float]:
    """Give by column what the metric loses where its values are dealt out anew among the rows.

    Source: Breiman, Random Forests, Machine Learning 45 (2001), permutation importance.

    Args:
        predict: Gives the model's predictions of rows.
        rows: Inputs and `label`, which the model was not fitted on.
        columns: Which inputs.
        task: What the label is.
        metric: Name of the metric.
        sign: 1 where a larger metric is better, -1 where a smaller one is.
        seed: Of the draws.
    """
    dice = np.random.default_rng(seed)
    drawn = dice.permutation(rows.height)[:MOST_ROWS]
    some = rows[np.sort(drawn).tolist()]
    true = some["label"].to_numpy().astype(float)

    def value(of: pl.DataFrame) -> float:
        return sign * measure(task, true, predict(of))[metric]  # type: ignore[arg-type]

    whole = value(some)
    order = dice.permutation(some.height).tolist()
    return {
        name: max(whole - value(some.with_columns(some[name].gather(order))), 0.0)
        for name in columns
    }


def moved(reference: Ecod, rows: pl.DataFrame) -> dict[str, float]:
    """Give by column the share of rows that would have to be others to be like the reference.

    Of numbers the largest distance of the distributions, of texts half the sum of the distances of
    their shares; missing values are values like any other.
    """
    table = rows.to_arrow()
    found = numbers(table, tuple(reference.numeric))
    shares = {
        name: _apart(values, found[:, place], reference.rows)
        for place, (name, values) in enumerate(reference.numeric.items())
    }
    for name, (words, counts) in reference.categorical.items():
        codes = np.bincount(words.codes(table, name), minlength=len(counts))
        shares[name] = float(np.abs(counts / reference.rows - codes / rows.height).sum() / 2)
    return shares


def _apart(values: Numbers, asked: Numbers, rows: int) -> float:
    """Give the distance of two columns whose missing values lie beyond all others."""
    there = np.sort(asked[~np.isnan(asked)])
    at = np.concatenate([values, there])
    ours, theirs = (np.searchsorted(v, at, "right") for v in (values, there))
    gaps = np.abs(ours / rows - theirs / len(asked))
    missing = abs(len(values) / rows - len(there) / len(asked))
    return float(max(gaps.max(initial=0.0), missing))
