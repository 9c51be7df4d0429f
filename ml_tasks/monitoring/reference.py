"""What a version's days are held against: fitted once, on rows that it was not fitted on."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_tasks import drift_tests
from ml_tasks.monitoring.cbpe import Cbpe
from ml_tasks.monitoring.distributions import Bins
from ml_tasks.monitoring.dle import Dle
from ml_tasks.monitoring.outliers import Ecod
from ml_tasks.training.metrics import log_loss, rmse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import polars as pl
    from numpy.typing import NDArray

    from ml_tasks.drift_tests import kept
    from ml_tasks.drift_tests.kept import Kept

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
    by: str = ""
    """The input that it is most likely off by, where it looks at all of them."""


@dataclass(frozen=True, slots=True)
class About:
    """What is known of the reference beside what is kept of its rows."""

    task: str
    numeric: tuple[str, ...]
    categorical: tuple[str, ...]
    tests: tuple[str, ...]
    """Folder of each test on inputs and predictions."""
    importance: dict[str, float]
    """By input: what the metric loses where it tells nothing …"""
    gone: dict[str, float]
    """… and where it is missing."""
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
    bins: Bins

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
            signal_of(kept.told.test, drift): Found(drift.statistic, drift.rows, drift.p_value)
            for kept in self.tests
            for drift in kept.test(table)
        }
        if rows.height < LEAST_ROWS:
            return found
        estimated = self.estimated(rows).metrics
        if self.loss in estimated:
            value = estimated[self.loss].value
            found[f"estimated {self.loss}"] = Found(value, rows.height)
        odd = self.outliers.score(table)
        found[OUTLIERS] = Found(float(odd.outliers.mean()), rows.height, by=odd.culprit)
        return found

    def truth(self, rows: pl.DataFrame) -> dict[str, Found]:
        """Look at a day's labels, and at what predictions were worth.

        Args:
            rows: `prediction` and `label`, which is known.
        """
        found = {
            signal_of(LABEL_TEST, drift): Found(drift.statistic, drift.rows, drift.p_value)
            for drift in self.labels.test(rows.select(LABEL).to_arrow())
        }
        if rows.height >= LEAST_ROWS:
            found[f"realised {self.loss}"] = Found(loss_of(self.about.task, rows), rows.height)
        return found

    def save(self, folder: Path) -> None:
        """Keep it in files; equal references give equal bytes."""
        folder.mkdir(parents=True, exist_ok=True)
        for name, kept in zip(self.about.tests, self.tests, strict=True):
            kept.save(folder / name)
        self.labels.save(folder / LABEL)
        self.estimate.save(folder / "estimate")
        self.outliers.save(folder / OUTLIERS)
        self.bins.save(folder)
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
            Bins.load(folder),
        )


def signal_of(test: str, drift: kept.Drift) -> str:
    """Give the name of what a test said."""
    return name_of(test, drift.column, drift.of)


def name_of(test: str, column: str, of: str) -> str:
    """Give a signal's name: test and column, and what of it where that is not its values."""
    return f"{test} {column}" if of == "values" else f"{test} {column} {of}"


def loss_of(task: str, rows: pl.DataFrame) -> float:
    """Give the loss of rows with `prediction` and `label`."""
    true, said = (rows[name].to_numpy().astype(float) for name in (LABEL, PREDICTION))
    return log_loss(true, said) if task == "classification" else rmse(true, said)


def aligned(own: Mapping[str, Mapping[str, float]], names: Sequence[str]) -> dict[str, list[float]]:
    """Give the reference's own days of some signals in one order, NaN where a day has none."""
    days = sorted({day for name in names for day in own[name]})
    return {name: [own[name].get(day, np.nan) for day in days] for name in names}
