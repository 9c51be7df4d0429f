"""Our estimates beside nannyml's on the same data; `bench/nannyml_figures.py` made the file."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from bench import nannyml_figures as figures
from ml_tasks.monitoring import cbpe, dle

THEIRS = json.loads(figures.FILE.read_text())
R = figures.REFERENCE
DAYS = np.arange(R) * 20 // R
WINDOWS = [slice(R + n * figures.WINDOW, R + (n + 1) * figures.WINDOW) for n in range(3)]


@pytest.mark.parametrize("case", figures.CASES)
def test_the_classifier_s_metrics_are_theirs(case: str) -> None:
    """The formulas are the same; nannyml rounds counts below a curve to five digits."""
    made, theirs = figures.classified(figures.CASES[case][0]), THEIRS["cbpe"][case]
    assert figures.means(made) == pytest.approx(theirs["means"], abs=1e-9), "other data"
    params = cbpe.Params(calibration="always" if theirs["calibrated"] else "never")
    kept = cbpe.fit(made["prediction"][:R], made["label"][:R], DAYS, params)
    for rows, wanted in zip(WINDOWS, theirs["windows"], strict=True):
        found = kept.estimate(made["prediction"][rows]).metrics
        assert {n: found[n].value for n in wanted} == pytest.approx(wanted, abs=1e-6)


def test_only_what_is_off_is_calibrated() -> None:
    """Theirs calibrates both: rows of a split lie between those that the map was fitted on."""
    for case, wanted in (("overconfident", True), ("true", False)):
        made = figures.classified(figures.CASES[case][0])
        kept = cbpe.fit(made["prediction"][:R], made["label"][:R], DAYS)
        assert kept.calibrated == wanted
        assert THEIRS["cbpe"][case]["calibrated"]


def test_the_regression_s_metrics_are_theirs() -> None:
    """Both let LightGBM learn with its own settings, theirs by another version of it."""
    made, theirs = figures.regressed(), THEIRS["dle"]
    assert figures.means(made) == pytest.approx(theirs["means"], abs=1e-9), "other data"
    rows = pa.table({name: made[name] for name in ("x", "z", "word")})
    kept = dle.fit(
        rows[:R],
        made["prediction"][:R],
        made["label"][:R],
        DAYS,
        numeric=("x", "z"),
        categorical=("word",),
    )
    for window, wanted in zip(WINDOWS, theirs["windows"], strict=True):
        found = kept.estimate(rows[window], made["prediction"][window]).metrics
        assert {n: found[n].value for n in wanted} == pytest.approx(wanted, rel=1e-6)
