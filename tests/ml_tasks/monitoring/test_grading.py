"""What a promotion won, on the rows that both versions predicted."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from ml_tasks import config
from ml_tasks.config import ROOT
from ml_tasks.monitoring.grading import Grading
from ml_tasks.result import Window

if TYPE_CHECKING:
    from ml_tasks.config import Pipeline

WINDOWS = tuple(
    Window.parse(w)
    for w in ("2013-06-04/2013-06-11", "2013-06-11/2013-06-18", "2013-06-18/2013-06-25")
)
ROWS = 700


def product(name: str) -> Pipeline:
    return config.load(name, ROOT / "ml_tasks" / "pipelines")


def said(pipeline: Pipeline, *, days: int = 14, seed: int = 3) -> pl.DataFrame:
    """Give what versions 1 and 2 said: both near the truth, 2 nearer; 0 said nothing of use."""
    dice = np.random.default_rng(seed)
    truth = dice.normal(size=ROWS)
    binary = pipeline.label.task == "classification"
    label = (truth > 0).astype(float) if binary else truth
    when = pl.lit(WINDOWS[0].start) + pl.duration(days=pl.Series(np.arange(ROWS) % days))
    key = pipeline.sources[pipeline.label.source].key
    rows = pl.DataFrame({name: np.arange(ROWS) for name in key}).with_columns(
        when.dt.cast_time_unit("us").alias("event_time"), pl.Series("label", label)
    )
    noise = {"0": 9.0, "1": 1.0, "2": 0.5}
    return pl.concat(
        rows.with_columns(
            pl.lit(version).alias("version"),
            pl.Series("prediction", _squeezed(truth + dice.normal(0, spread, ROWS), binary)),
        )
        for version, spread in noise.items()
    )


def _squeezed(values: np.ndarray, binary: bool) -> np.ndarray:
    return 1 / (1 + np.exp(-values)) if binary else values


@pytest.mark.parametrize("name", ["flight_delays", "arrival_delay"])
def test_more_is_better_whatever_the_metric(name: str) -> None:
    pipeline = product(name)
    rows = said(pipeline)
    better, worse = (
        Grading(pipeline, *versions, "r").grades(rows, WINDOWS[:2], WINDOWS[1])
        for versions in (("2", "1"), ("1", "2"))
    )
    assert [(g.start[:10], g.end[:10], g.windows, g.rows) for g in better] == [
        ("2013-06-04", "2013-06-11", 1, ROWS // 2),
        ("2013-06-11", "2013-06-18", 1, ROWS // 2),
        ("2013-06-04", "2013-06-18", 2, ROWS),
    ]
    for one, other in zip(better, worse, strict=True):
        assert one.low is not None
        assert one.high is not None
        assert 0 < one.low < one.value < one.high
        assert other.value == pytest.approx(-one.value)
        assert other.low == pytest.approx(-one.high)
    assert better[0].wanted == pipeline.monitoring.retraining.graded_windows


def test_only_rows_that_both_predicted_and_whose_label_is_known_count() -> None:
    pipeline = product("flight_delays")
    known = pl.col("event_time") < WINDOWS[1].start + timedelta(days=2)
    rows = said(pipeline).with_columns(pl.when(known).then("label").alias("label"))
    silent = (pl.col("version") == "1") & (pl.col("event_time") < WINDOWS[0].start + timedelta(1))
    found = Grading(pipeline, "2", "1", "r").grades(rows.filter(~silent), WINDOWS, WINDOWS[2])
    assert [(grade.windows, grade.rows, grade.predicted) for grade in found] == [
        (1, 300, 300), (1, 100, 350), (2, 400, 650),
    ]  # fmt: skip
    assert {grade.known for grade in found} == {WINDOWS[2].end.isoformat()}


def test_a_single_day_has_a_value_and_no_interval_and_no_label_no_grade() -> None:
    pipeline = product("flight_delays")
    grading = Grading(pipeline, "2", "1", "r")
    rows = said(pipeline, days=1)
    (found,) = grading.grades(rows, WINDOWS[:1], WINDOWS[0])
    assert (found.value > 0, found.low, found.high, found.error) == (True, None, None, None)
    assert grading.grades(rows.with_columns(label=None), WINDOWS[:1], WINDOWS[0]) == []
    one_kind = rows.with_columns(label=pl.lit(1.0))
    assert grading.grades(one_kind, WINDOWS[:1], WINDOWS[0]) == [], "AUC wants both"
