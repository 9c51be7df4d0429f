"""What a drift may cost the metric, as far as that can be said before labels come."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ml_tasks.drift_tests.kept import MISSING, TIES
from ml_tasks.monitoring.reference import TRUTH
from ml_tasks.training import metrics

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import polars as pl
    from numpy.typing import NDArray

    from ml_tasks.monitoring.reference import About, Found

    Numbers = NDArray[np.float64]
    Places = NDArray[np.int64]
    Input = tuple[str, bool]
    """A column, and whether it is missing rather than other rows'."""

CLEARLY = 1.5
"""How much further off another column has to be to be held the cause."""
THREADS = 2
"""Of predictions: more would wait for the interpreter's lock."""
MOST_ROWS = 10_000
"""More are not shuffled: what a column is worth is wanted to a digit, not to three."""
FEW_ROWS = 3_000
"""Of the first look: no column of flights that costs 0.003 of AUC fell below `MATTERS` on them."""
FEW_LABELS = 100
"""Of the rarer one in the first look: with fewer, what a column is worth is lost in chance."""
MATTERS = 0.1
"""Share of the dearest one's worth from which on a column is measured on all rows."""


@dataclass(frozen=True, slots=True)
class Worth:
    """What inputs are worth to the metric; never below 0."""

    told: dict[str, float]
    """By input: what is lost where its values are other rows'."""
    there: dict[str, float]
    """By input: what is lost where they are missing."""


def importance(
    predict: Callable[[pl.DataFrame], Numbers],
    rows: pl.DataFrame,
    columns: Sequence[str],
    *,
    task: str,
    metric: str,
    sign: int,
    seed: int,
) -> Worth:
    """Measure what the metric loses where a column is dealt out anew among the rows, or is missing.

    Few rows tell which columns matter, where both labels are often among them; those columns alone
    are measured on all rows.

    Source: Breiman, Random Forests, Machine Learning 45 (2001), permutation importance.

    Args:
        predict: Gives the model's predictions of rows; asked by several threads at once.
        rows: Inputs and `label`, which the model was not fitted on.
        columns: Which inputs.
        task: What the label is.
        metric: Name of the metric.
        sign: 1 where a larger metric is better, -1 where a smaller one is.
        seed: Of the draws.
    """
    dice = np.random.default_rng(seed)
    drawn = dice.permutation(rows.height)[:MOST_ROWS]
    inputs = [(name, missing) for missing in (False, True) for name in columns]

    def value(true: Numbers, predictions: Numbers) -> float:
        return sign * metrics.value(metric, task, true, predictions)  # type: ignore[arg-type]

    def lost_on(places: Places, asked: Sequence[Input]) -> dict[Input, float]:
        some = rows[np.sort(places).tolist()]
        others = _others(some, asked, dice.permutation(some.height).tolist())
        return dict(zip(asked, _lost(predict, value, some, others), strict=True))

    few = drawn[:FEW_ROWS] if _enough(rows["label"], drawn[:FEW_ROWS], task) else drawn
    lost = lost_on(few, inputs)
    if len(few) < len(drawn):
        least = MATTERS * max(lost.values())
        # A metric that few rows do not have is NaN, of which nothing is less.
        lost |= lost_on(drawn, [one for one in inputs if not lost[one] < least])
    told, there = ({name: lost[name, missing] for name in columns} for missing in (False, True))
    return Worth(told, there)


def _enough(labels: pl.Series, places: Places, task: str) -> bool:
    """Tell whether some rows have each label of a classification often enough."""
    if task != "classification":
        return True
    ones = int(labels[places.tolist()].cast(bool).sum())
    return min(ones, len(places) - ones) >= FEW_LABELS


def _lost(
    predict: Callable[[pl.DataFrame], Numbers],
    value: Callable[[Numbers, Numbers], float],
    some: pl.DataFrame,
    others: Sequence[pl.Series | pl.Expr],
) -> list[float]:
    """Give what is lost with each of the others in a column's place; never below 0."""
    true = some["label"].to_numpy().astype(float)
    whole = value(true, predict(some))
    with ThreadPoolExecutor(THREADS) as pool:
        # The metric is not for threads: scikit-learn changes the warnings of the whole process.
        predicted = pool.map(lambda other: predict(some.with_columns(other)), others)
        return [max(whole - value(true, predictions), 0.0) for predictions in predicted]


def _others(
    some: pl.DataFrame, asked: Sequence[Input], order: list[int]
) -> list[pl.Series | pl.Expr]:
    """Give what stands in each column's place: nothing where it is missing, else other rows'."""
    import polars as pl

    return [
        pl.lit(None, some[name].dtype).alias(name) if missing else some[name].gather(order)
        for name, missing in asked
    ]


def costs(about: About, found: Mapping[str, Found]) -> dict[str, float]:
    """Give by signal of a day what its drift may cost the metric at most.

    Of an input that is what the metric loses where it tells nothing, and of its missing values what
    it loses where there are none, times the share by which they are more or fewer. Ties and
    outliers cost what the input is worth that they are off by; predictions and what is estimated of
    them what the dearest input is worth.

    Args:
        about: What is known of the reference.
        found: What a day says; what is known when labels are costs nobody knows what.
    """
    dearest = max(about.importance.values())
    blamed = _blamed(about, found) | {name: one.by for name, one in found.items() if one.by}
    costs = {}
    for name, one in found.items():
        column = about.about.get(name)
        if column is None or column in TRUTH:
            continue
        if name.endswith(f" {column} {MISSING}"):
            costs[name] = about.gone.get(column, dearest) * one.value
        else:
            costs[name] = about.importance.get(blamed.get(name, column), dearest)
    return costs


def _blamed(about: About, found: Mapping[str, Found]) -> dict[str, str]:
    """Give by signal of ties the column that they are most likely off by: often their own.

    A column that is out of joint breaks all of its own ties, and one of each other column's.
    """
    off = {}
    for name, one in found.items():
        if name.endswith(f" {about.about.get(name)} {TIES}"):
            usual = float(np.mean(list(about.own[name].values())))
            off[name] = one.value / usual if usual else 1.0
    if not off:
        return {}
    worst = max(sorted(off), key=off.__getitem__)
    return {
        name: about.about[worst if off[worst] > CLEARLY * times else name]
        for name, times in off.items()
    }
