"""What a version's days are held against: fitted once, on rows that it was not fitted on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_tasks import drift_tests
from ml_tasks.drift_tests.kept import ALL
from ml_tasks.monitoring import cbpe, dle, outliers
from ml_tasks.monitoring.cbpe import Cbpe
from ml_tasks.monitoring.dle import Dle
from ml_tasks.monitoring.outliers import Ecod
from ml_tasks.training.metrics import measure

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator, Mapping, Sequence
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from ml_tasks.config import Drift, Monitoring
    from ml_tasks.drift_tests import kept
    from ml_tasks.drift_tests.kept import Kept, Signal
    from ml_tasks.models.spec import Spec
    from ml_tasks.monitoring.budget import Budget

    Numbers = NDArray[np.float64]

PREDICTION, LABEL = "prediction", "label"
LOSS = {"classification": "log_loss", "regression": "rmse"}
"""What a day's rows are measured by: it needs no more than one of them."""
OUTLIERS, REALISED, ESTIMATED = "outliers", "realised", "estimated"
TRUTH = (LABEL, REALISED)
"""What is known when labels are."""
LABEL_TEST = "ks"
PROMPT = 0.99
"""Share of labels that are waited for."""
LEAST_ROWS = 20
"""A day with fewer rows says nothing of its outliers and of its loss."""


@dataclass(frozen=True, slots=True)
class Found:
    """One signal of one day; a larger value is further from the reference."""

    value: float
    rows: int
    p_value: float | None = None
    """What a test of single rows says."""


@dataclass(frozen=True, slots=True)
class About:
    """What is known of the reference beside what is kept of its rows."""

    task: str
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    tests: tuple[str, ...]
    """Folder of each test on inputs and predictions."""
    importance: dict[str, float]
    """By input: what the metric loses where it tells nothing."""
    label_seconds: float
    """How long labels took to come, but for one in a hundred."""
    about: dict[str, str]
    """By signal: the input that it looks at, or `prediction`, `label`, `realised`, …"""
    budget: tuple[float, float]
    """False pages in so many days: this version's part of its owner's."""
    own: dict[str, dict[str, float]]
    """By signal and day: what the reference's own days say, each held against the others."""


@dataclass(frozen=True, slots=True)
class Reference:
    """What is kept of the reference."""

    about: About
    tests: tuple[Kept, ...]
    labels: Kept
    estimate: Cbpe | Dle
    outliers: Ecod

    @property
    def loss(self) -> str:
        """The metric of a day's rows."""
        return LOSS[self.about.task]

    def estimated(self, rows: pl.DataFrame) -> Any:
        """Give the metrics that are expected of rows without labels."""
        said = rows[PREDICTION].to_numpy()
        if isinstance(self.estimate, Cbpe):
            return self.estimate.estimate(said)
        return self.estimate.estimate(rows.to_arrow(), said)

    def inputs(self, rows: pl.DataFrame) -> dict[str, Found]:
        """Look at a day's inputs and predictions.

        Args:
            rows: What the model took in, and `prediction`.
        """
        table = rows.to_arrow()
        found = {
            _signal(kept.told.test, drift): Found(drift.statistic, drift.rows, drift.p_value)
            for kept in self.tests
            for drift in kept.test(table)
        }
        if rows.height < LEAST_ROWS:
            return found
        estimated = self.estimated(rows).metrics
        if self.loss in estimated:
            value = estimated[self.loss].value
            found[f"estimated {self.loss}"] = Found(value, rows.height)
        odd = self.outliers.score(table).outliers
        found[OUTLIERS] = Found(float(odd.mean()), rows.height)
        return found

    def truth(self, rows: pl.DataFrame) -> dict[str, Found]:
        """Look at a day's labels, and at what predictions were worth.

        Args:
            rows: `prediction` and `label`, which is known.
        """
        found = {
            _signal(LABEL_TEST, drift): Found(drift.statistic, drift.rows, drift.p_value)
            for drift in self.labels.test(rows.select(LABEL).to_arrow())
        }
        if rows.height >= LEAST_ROWS:
            found[f"realised {self.loss}"] = Found(_loss(self.about.task, rows), rows.height)
        return found

    def save(self, folder: Path) -> None:
        """Keep it in files; equal references give equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, kept in zip(self.about.tests, self.tests, strict=True):
            kept.save(folder / name)
        self.labels.save(folder / LABEL)
        self.estimate.save(folder / "estimate")
        self.outliers.save(folder / OUTLIERS)
        (folder / "about.json").write_text(f"{json.dumps(asdict(self.about), indent=2)}\n")

    @classmethod
    def load(cls, folder: Path) -> Reference:
        """Read what `save` wrote."""
        told = json.loads((folder / "about.json").read_text())
        lists = ("numeric", "categorical", "tests", "budget")
        about = About(**{**told, **{name: tuple(told[name]) for name in lists}})
        estimate = Cbpe if about.task == "classification" else Dle
        return cls(
            about,
            tuple(drift_tests.load(folder / name) for name in about.tests),
            drift_tests.load(folder / LABEL),
            estimate.load(folder / "estimate"),
            Ecod.load(folder / OUTLIERS),
        )


def fit(
    rows: pl.DataFrame,
    spec: Spec,
    monitoring: Monitoring,
    importance: Mapping[str, float],
    part: Budget,
) -> Reference:
    """Fit all that later days are held against.

    Args:
        rows: What the model took in, `prediction`, `label`, `label_known_at` and `event_time`, of
            rows that it was not fitted on.
        spec: Names the inputs.
        monitoring: Which tests, and of whom.
        importance: By input, what the metric loses where it tells nothing.
        part: The version's part of its owner's budget of false pages.

    Raises:
        ConfigError: A test is not known, or cannot be had of that engine.
        RejectedError: There are too few rows or days.
    """
    days, looks = rows["event_time"].dt.date(), _looks(monitoring, spec)
    named = [f"{number}-{told.test}" for number, told in enumerate(looks)]
    columns = [*spec.numeric, *spec.categorical]
    tests = tuple(
        drift_tests.fit(
            told.test,
            rows.select(*(told.columns or columns), PREDICTION).to_arrow(),
            told.params,
            monitoring.engine,
        )
        for told in looks
    )
    labels = drift_tests.fit(LABEL_TEST, rows.select(LABEL).to_arrow(), {}, monitoring.engine)
    quantile = outliers.Params(quantile=1 - monitoring.outlier_share)
    names = {"numeric": spec.numeric, "categorical": spec.categorical}
    made = Reference(
        About(
            spec.task,
            spec.numeric,
            spec.categorical,
            tests=tuple(named),
            importance=dict(importance),
            label_seconds=_lag(rows),
            about={},
            budget=(part.false_pages, part.days),
            own={},
        ),
        tests,
        labels,
        _estimate(rows, spec, days.to_numpy()),
        outliers.fit(rows.to_arrow(), params=quantile, **names),
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
        columns = told.columns or (*made.about.numeric, *made.about.categorical)
        table = rows.select(*columns, PREDICTION).to_arrow()
        found |= _named(told.test, kept.own_looks(table, days.to_arrow()))
    found |= _named(
        LABEL_TEST, made.labels.own_looks(rows.select(LABEL).to_arrow(), days.to_arrow())
    )
    enough = {day: one for day, one in _days(rows, days) if one.height >= LEAST_ROWS}
    expected = made.estimate.own[made.loss]
    odd = outliers.own_days(made.outliers, rows.to_arrow(), days.to_numpy())
    realised = {day: _loss(made.about.task, one) for day, one in enough.items()}
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
        _name(test, column, of): (
            PREDICTION if column == ALL else column,
            {str(day): value for day, value in by_day.items()},
        )
        for (column, of), by_day in looks.items()
    }


def _signal(test: str, drift: kept.Drift) -> str:
    return _name(test, drift.column, drift.of)


def _name(test: str, column: str, of: str) -> str:
    return f"{test} {column}" if of == "values" else f"{test} {column} {of}"


def _loss(task: str, rows: pl.DataFrame) -> float:
    true, said = (rows[name].to_numpy().astype(float) for name in (LABEL, PREDICTION))
    return measure(task, true, said)[LOSS[task]]  # type: ignore[arg-type]


def _days(rows: pl.DataFrame, days: pl.Series) -> Iterator[tuple[str, pl.DataFrame]]:
    for day in days.unique().sort():
        yield str(day), rows.filter(days == day)


def aligned(own: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> dict[str, list[float]]:
    """Give the reference's own days of some signals in one order, NaN where a day has none."""
    days = sorted({day for name in names for day in own[name]})
    return {name: [own[name].get(day, np.nan) for day in days] for name in names}
