from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

from ml_tasks.errors import RejectedError
from ml_tasks.monitoring import dle
from ml_tasks.monitoring.estimated import Spread
from ml_tasks.training.metrics import regression

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

ROWS = 200
COLUMNS = {"numeric": ("x", "z"), "categorical": ("word",)}


def made(
    dice: np.random.Generator, days: int, *, shift: float = 0.0, weather: float = 0.0
) -> tuple[pa.Table, Numbers, Numbers, NDArray[np.int64]]:
    """Give inputs, predictions, labels and days; errors grow with `x` and are twice as large at B.

    Args:
        dice: Where chance comes from.
        days: How many, of 200 rows each.
        shift: By how much `x` is moved.
        weather: How far a day's errors lie from the mean day's, as a share.
    """
    day = np.repeat(np.arange(days), ROWS)
    x, z = dice.normal(size=len(day)) + shift, dice.normal(size=len(day))
    word = dice.choice(["A", "B", "C"], size=len(day))
    wide = np.exp(0.5 * x) * np.where(word == "B", 2, 1)
    wide *= np.exp(weather * dice.normal(size=days))[day]
    prediction = 3 * x + z
    y = prediction + wide * dice.normal(size=len(day))
    return pa.table({"x": x, "z": z, "word": word}), prediction, y, day


def test_estimates_are_near_the_truth_and_nearer_under_shift_than_the_reference() -> None:
    dice = np.random.default_rng(1)
    kept = dle.fit(*made(dice, 40), **COLUMNS)
    for shift, tolerated in ((0.0, 0.06), (0.7, 0.1), (-0.7, 0.1)):
        rows, p, y, _days = made(dice, 40, shift=shift)
        found, truth = kept.estimate(rows, p).metrics, regression(y, p)
        for name in dle.METRICS:
            assert found[name].value == pytest.approx(truth[name], rel=tolerated), (shift, name)
            if shift:
                ours = abs(found[name].value - truth[name])
                assert ours < abs(kept.reference[name] - truth[name]) / 2, (shift, name)


def test_losses_of_rows_tell_a_segment_that_is_worse() -> None:
    dice = np.random.default_rng(2)
    kept = dle.fit(*made(dice, 30), **COLUMNS)
    rows, p, _y, _days = made(dice, 5)
    absolute, squared = kept.losses(rows, p)
    worse = np.array(rows["word"].to_pylist()) == "B"
    assert absolute[worse].mean() == pytest.approx(2 * absolute[~worse].mean(), rel=0.2)
    assert absolute.min() >= 0
    assert squared.min() >= 0


def test_days_that_spread_make_intervals_wide_enough() -> None:
    """Of 60 weeks under 6 references, about 95 % are within."""
    dice, hits = np.random.default_rng(3), dict.fromkeys(dle.METRICS, 0)
    for _ in range(6):
        kept = dle.fit(*made(dice, 30, weather=0.3), **COLUMNS, params=dle.Params(trees=40))
        for _ in range(10):
            rows, p, y, _days = made(dice, 7, weather=0.3)
            truth = regression(y, p)
            for name, found in kept.estimate(rows, p).metrics.items():
                hits[name] += found.low <= truth[name] <= found.high
    assert all(52 <= hit <= 60 for hit in hits.values()), hits


def test_what_is_kept_is_text_read_back_and_equal_for_equal_references(tmp_path: Path) -> None:
    reference = made(np.random.default_rng(4), 6)
    for name in ("one", "two"):
        dle.fit(*reference, **COLUMNS).save(tmp_path / name)
    files = sorted(file.name for file in (tmp_path / "one").iterdir())
    assert files == ["dle.json", "dle_absolute.txt", "dle_squared.txt"]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    assert (tmp_path / "one" / "dle_absolute.txt").read_text().startswith("tree\n")
    read = dle.Dle.load(tmp_path / "one")
    assert read == dle.fit(*reference, **COLUMNS)
    rows, p, *_ = reference
    assert read.estimate(rows, p) == dle.fit(*reference, **COLUMNS).estimate(rows, p)


def test_gaps_unseen_texts_and_other_types_are_taken(tmp_path: Path) -> None:
    rows, p, y, days = made(np.random.default_rng(5), 6)
    x = rows["x"].to_pylist()
    gaps = pa.table(
        {
            "x": pa.array([None if n % 7 == 0 else v for n, v in enumerate(x)], pa.float32()),
            "z": pa.array(range(len(x)), pa.int32()),
            "word": pa.array([None, "A", "B"] * (len(x) // 3)).dictionary_encode(),
        }
    )
    kept = dle.fit(gaps, p, y, days, **COLUMNS)
    assert kept.vocabularies[0].words == ("A", "B")
    asked = pa.table(
        {
            "x": pa.array([None, float("inf"), 1.0]),
            "z": pa.array([1, None, 3]),
            "word": pa.array(["never seen", None, "B"]),
        }
    )
    absolute, _squared = kept.losses(asked, np.array([0.0, 0.0, 3.0]))
    assert np.isfinite(absolute).all()
    found = kept.estimate(asked, np.array([0.0, np.nan, 3.0]))
    assert (found.rows, found.left_out) == (2, 1)
    assert kept.estimate(asked, np.full(3, np.nan)).metrics == {}


def test_own_days_are_estimated_by_what_was_fitted_on_others() -> None:
    rows, p, y, days = made(np.random.default_rng(8), 5)
    turned = np.where(days == 3, p + 100, y)
    kept, other = (dle.fit(rows, p, labels, days, **COLUMNS) for labels in (y, turned))
    assert list(kept.own["rmse"]) == ["0", "1", "2", "3", "4"]
    assert [kept.own[name]["3"] for name in dle.METRICS] == [
        other.own[name]["3"] for name in dle.METRICS
    ]


def test_one_day_is_no_reference() -> None:
    with pytest.raises(RejectedError, match="came 1 days, wanted 2 or more"):
        dle.fit(*made(np.random.default_rng(6), 1), **COLUMNS)


def test_the_factor_is_how_much_wider_days_spread() -> None:
    dice = np.random.default_rng(7)
    away, noise = 2.5 * dice.normal(size=4000), np.ones(4000)
    assert Spread.of(away, noise, 10).factor == pytest.approx(2.5, rel=0.05)
    assert Spread.of(away / 10, noise, 10, least=1.0).factor == 1.0
    found = Spread(2.0, 4, 100).interval(5.0, 0.1, 100)
    assert found.error == pytest.approx(0.2 * np.sqrt(2))
    assert found.high - 5 == pytest.approx(2.776 * found.error, rel=1e-3)
    assert Spread(9.0, 4, 100).interval(0.5, 0.1, 100, highest=1.0).high == 1.0
    assert Spread(9.0, 4, 100).interval(0.5, 0.1, 100).low == 0.0
