"""Fits what a version's days are held against, and looks at the reference's own days."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks import drift_tests
from ml_tasks.drift_tests.kept import ALL
from ml_tasks.monitoring import cbpe, distributions, dle, outliers
from ml_tasks.monitoring.reference import (
    ESTIMATED,
    LABEL,
    LABEL_TEST,
    LEAST_ROWS,
    OUTLIERS,
    PREDICTION,
    PROMPT,
    REALISED,
    About,
    Reference,
    loss_of,
    name_of,
)

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence

    import numpy as np
    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray

    from ml_tasks.config import Drift, Monitoring
    from ml_tasks.drift_tests.kept import Signal
    from ml_tasks.models.spec import Spec
    from ml_tasks.monitoring.budget import Budget
    from ml_tasks.monitoring.cbpe import Cbpe
    from ml_tasks.monitoring.dle import Dle
    from ml_tasks.monitoring.worth import Worth


def fit(
    rows: pl.DataFrame,
    spec: Spec,
    monitoring: Monitoring,
    importance: Worth,
    part: Budget,
) -> Reference:
    """Fit all that later days are held against.

    Args:
        rows: What the model took in, `prediction`, `label`, `label_known_at` and `event_time`, of
            rows that it was not fitted on.
        spec: Names the inputs.
        monitoring: Which tests, and of whom.
        importance: What inputs are worth to the metric.
        part: The version's part of its owner's budget of false pages.

    Raises:
        ConfigError: A test is not known, or cannot be had of that engine.
        RejectedError: There are too few rows or days.
    """
    days, looks = rows["event_time"].dt.date(), _looks(monitoring, spec)
    tests = tuple(
        drift_tests.fit(told.test, _seen(rows, told, spec), told.params, monitoring.engine)
        for told in looks
    )
    labels = drift_tests.fit(LABEL_TEST, rows.select(LABEL).to_arrow(), {}, monitoring.engine)
    quantile = outliers.Params(quantile=1 - monitoring.outlier_share)
    names = {"numeric": spec.numeric, "categorical": spec.categorical}
    made = Reference(
        _about(rows, spec, looks, importance, part),
        tests,
        labels,
        _estimate(rows, spec, days.to_numpy()),
        outliers.fit(rows.to_arrow(), params=quantile, **names),
        distributions.fit(rows, (*spec.numeric, PREDICTION), spec.categorical),
    )
    for signal, (about, own) in _own(made, rows, days, looks).items():
        made.about.about[signal] = about
        made.about.own[signal] = own
    return made


def _looks(monitoring: Monitoring, spec: Spec) -> list[Drift]:
    """Give the tests that have something to look at; a test that is told columns always has."""
    texts = bool(spec.categorical)
    return [
        told
        for told in monitoring.drift
        if texts or told.columns or drift_tests.TESTS[told.test].SEES != "texts"
    ]


def _about(
    rows: pl.DataFrame, spec: Spec, looks: Sequence[Drift], importance: Worth, part: Budget
) -> About:
    """Give what is known before a signal was looked at."""
    return About(
        spec.task,
        spec.numeric,
        spec.categorical,
        tests=tuple(f"{number}-{told.test}" for number, told in enumerate(looks)),
        importance=importance.told,
        gone=importance.there,
        label_seconds=_lag(rows),
        about={},
        budget=(part.false_pages, part.days),
        own={},
    )


def _lag(rows: pl.DataFrame) -> float:
    waited = (rows["label_known_at"] - rows["event_time"]).dt.total_seconds()
    return float(waited.quantile(PROMPT) or 0)


def _estimate(rows: pl.DataFrame, spec: Spec, days: NDArray[np.generic]) -> Cbpe | Dle:
    said, true = (rows[name].to_numpy().astype(float) for name in (PREDICTION, LABEL))
    if spec.task == "classification":
        return cbpe.fit(said, true, days)
    return dle.fit(
        rows.to_arrow(), said, true, days, numeric=spec.numeric, categorical=spec.categorical
    )


def _own(
    made: Reference, rows: pl.DataFrame, days: pl.Series, looks: Sequence[Drift]
) -> dict[str, tuple[str, dict[str, float]]]:
    """Look at the reference's own days, each held against the others.

    Returns:
        By signal: what it is about, and its value by day.
    """
    found: dict[str, tuple[str, dict[str, float]]] = {}
    for kept, told in zip(made.tests, looks, strict=True):
        table = _seen(rows, told, made.about)
        found |= _named(told.test, kept.own_looks(table, days.to_arrow()))
    found |= _named(
        LABEL_TEST, made.labels.own_looks(rows.select(LABEL).to_arrow(), days.to_arrow())
    )
    enough = {day: one for day, one in _days(rows, days) if one.height >= LEAST_ROWS}
    expected = made.estimate.own[made.loss]
    odd = outliers.own_days(made.outliers, rows.to_arrow(), days.to_numpy())
    realised = {day: loss_of(made.about.task, one) for day, one in enough.items()}
    estimated = {day: expected[day] for day in enough if day in expected}
    shares = {str(day): float(one.outliers.mean()) for day, one in odd if str(day) in enough}
    return found | {
        f"realised {made.loss}": (REALISED, realised),
        f"estimated {made.loss}": (ESTIMATED, estimated),
        OUTLIERS: (OUTLIERS, shares),
    }


def _named(
    test: str, looks: Mapping[Signal, Mapping[Hashable, float]]
) -> dict[str, tuple[str, dict[str, float]]]:
    return {
        # All columns together are what the prediction is made of.
        name_of(test, column, of): (
            PREDICTION if column == ALL else column,
            {str(day): value for day, value in by_day.items()},
        )
        for (column, of), by_day in looks.items()
    }


def _days(rows: pl.DataFrame, days: pl.Series) -> Iterator[tuple[str, pl.DataFrame]]:
    for day in days.unique().sort():
        yield str(day), rows.filter(days == day)


def _seen(rows: pl.DataFrame, told: Drift, inputs: Spec | About) -> pa.Table:
    """Give what a test is shown: inputs and the prediction, and the time, which none compares."""
    columns = told.columns or (*inputs.numeric, *inputs.categorical)
    return rows.select(*columns, PREDICTION, "event_time").to_arrow()
