from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
from sklearn import metrics as theirs

from ml_tasks.errors import RejectedError
from ml_tasks.monitoring import cbpe
from ml_tasks.training.metrics import classification

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]

ROWS = 400


def made(
    dice: np.random.Generator,
    days: int,
    *,
    shift: float = 0.0,
    weather: float = 0.0,
    turned: float = 0.0,
    sharpness: float = 1.0,
) -> tuple[Numbers, Numbers, NDArray[np.int64]]:
    """Give predictions, labels and days.

    Args:
        dice: Where chance comes from.
        days: How many, of 400 rows each.
        shift: By how much the input is moved.
        weather: How far a day's log odds lie from what the model knows of.
        turned: By how much the label's log odds turn away from what the model learned.
        sharpness: What the model's log odds are multiplied with.
    """
    day = np.repeat(np.arange(days), ROWS)
    x = dice.normal(size=len(day)) + shift
    odds = 1.5 * x - 1.2
    true = odds + weather * dice.normal(size=days)[day] - turned * x
    y = (dice.uniform(size=len(day)) < 1 / (1 + np.exp(-true))).astype(float)
    return 1 / (1 + np.exp(-sharpness * odds)), y, day


def realised(p: Numbers, y: Numbers) -> dict[str, float]:
    found = {**classification(y, p), "positives": float(y.mean())}
    return {name: found[name] for name in cbpe.METRICS}


def test_what_is_expected_is_each_row_as_a_1_and_as_a_0() -> None:
    """By scikit-learn, with rows twice and weighted; half of the predictions are tied."""
    dice = np.random.default_rng(1)
    p = np.concatenate([dice.uniform(size=200), dice.uniform(size=200).round(1)])
    chances = dice.uniform(size=400)
    y, twice = np.repeat([1, 0], 400), np.tile(p, 2)
    weights = np.concatenate([chances, 1 - chances])
    told = {"y_true": y, "sample_weight": weights}
    found, _noises = cbpe.expected(p, chances)
    inside = np.clip(twice, 1e-7, 1 - 1e-7)
    assert found == pytest.approx(
        {
            "accuracy": theirs.accuracy_score(y_pred=twice >= 0.5, **told),
            "precision": theirs.precision_score(y_pred=twice >= 0.5, **told),
            "recall": theirs.recall_score(y_pred=twice >= 0.5, **told),
            "f1": theirs.f1_score(y_pred=twice >= 0.5, **told),
            "roc_auc": theirs.roc_auc_score(y_score=twice, **told),
            "log_loss": theirs.log_loss(y, inside, sample_weight=weights),
            "brier": theirs.brier_score_loss(y_proba=twice, **told),
            "positives": np.average(y, weights=weights),
        },
        abs=1e-12,
    )
    assert tuple(found) == cbpe.METRICS


def test_the_noise_is_how_labels_drawn_again_would_spread() -> None:
    dice = np.random.default_rng(2)
    p, _y, _days = made(dice, 2)
    chances = p**1.2
    drawn = [realised(p, (dice.uniform(size=len(p)) < chances).astype(float)) for _ in range(600)]
    values, noises = cbpe.expected(p, chances)
    for name in cbpe.METRICS:
        found = np.array([one[name] for one in drawn])
        assert found.std() == pytest.approx(noises[name], rel=0.1), name
        assert abs(found.mean() - values[name]) < 4 * noises[name] / np.sqrt(600), name


def test_on_calibrated_data_estimates_are_true_within_sampling_error() -> None:
    """Over 60 windows: no bias, and as far off as the labels' own noise."""
    dice = np.random.default_rng(3)
    kept = cbpe.fit(*made(dice, 60), cbpe.Params(calibration="never"))
    away: dict[str, list[float]] = {name: [] for name in cbpe.METRICS}
    for _ in range(60):
        p, y, _days = made(dice, 7)
        _values, noises = cbpe.expected(p, p)
        for name, found in kept.estimate(p).metrics.items():
            away[name].append((realised(p, y)[name] - found.value) / noises[name])
    for name, found in away.items():
        assert abs(np.mean(found)) < 3 / np.sqrt(60), name
        assert 0.7 < np.std(found) < 1.3, name


@pytest.mark.parametrize(
    ("shift", "moved"),
    [
        (-0.8, ("roc_auc", "log_loss", "brier", "positives", "f1")),
        (0.8, ("log_loss", "brier", "positives", "f1")),  # AUC is the same on both sides of 0.4
    ],
)
def test_under_covariate_shift_it_is_nearer_than_the_reference_s_metric(
    shift: float, moved: tuple[str, ...]
) -> None:
    dice = np.random.default_rng(4)
    kept = cbpe.fit(*made(dice, 40, sharpness=1.8))
    assert kept.calibrated
    p, y, _days = made(dice, 30, shift=shift, sharpness=1.8)
    found, truth = kept.estimate(p).metrics, realised(p, y)
    for name in moved:
        ours = abs(found[name].value - truth[name])
        assert ours < abs(kept.reference[name] - truth[name]) / 2, name


def test_it_does_not_see_that_the_label_itself_has_changed() -> None:
    """What no estimate without labels can see: realised AUC falls, the estimate stays."""
    dice = np.random.default_rng(5)
    kept = cbpe.fit(*made(dice, 40))
    p, y, _days = made(dice, 7, turned=1.0)
    found = kept.estimate(p).metrics["roc_auc"]
    assert found.value == pytest.approx(kept.reference["roc_auc"], abs=0.02)
    assert realised(p, y)["roc_auc"] < found.low - 0.1


def test_days_that_spread_make_intervals_wide_enough() -> None:
    """Of 200 weeks under 20 references, about 95 % are within; labels' own noise alone is not."""
    dice = np.random.default_rng(6)
    hits, bare = dict.fromkeys(cbpe.METRICS, 0), dict.fromkeys(cbpe.METRICS, 0)
    for _ in range(20):
        kept = cbpe.fit(*made(dice, 35, weather=0.4))
        for _ in range(10):
            p, y, _days = made(dice, 7, weather=0.4)
            truth = realised(p, y)
            _values, noises = cbpe.expected(p, kept.calibrate(p))
            for name, found in kept.estimate(p).metrics.items():
                hits[name] += found.low <= truth[name] <= found.high
                bare[name] += abs(found.value - truth[name]) <= 1.96 * noises[name]
    assert all(180 <= hit <= 200 for hit in hits.values()), hits
    assert bare["positives"] < 140


def test_calibration_is_left_out_where_it_makes_left_out_days_worse() -> None:
    """Few days, each with weather of its own: a map fitted on the others is worse than none."""
    p, y, days = made(np.random.default_rng(3), 4, weather=0.8)
    kept = cbpe.fit(p, y, days)
    raw, calibrated = kept.errors
    assert not kept.calibrated
    assert raw < calibrated
    assert kept.calibrate(p) is p
    assert cbpe.fit(p, y, days, cbpe.Params(calibration="always")).calibrated


def test_what_is_kept_is_read_back_and_equal_references_give_equal_bytes(tmp_path: Path) -> None:
    p, y, days = made(np.random.default_rng(7), 5, sharpness=2)
    for name in ("one", "two"):
        cbpe.fit(p, y, days).save(tmp_path / name)
    files = sorted(file.name for file in (tmp_path / "one").iterdir())
    assert files == ["cbpe.json", "cbpe.npz"]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    read = cbpe.Cbpe.load(tmp_path / "one")
    assert read.estimate(p) == cbpe.fit(p, y, days).estimate(p)
    read.save(tmp_path / "again")
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "again" / file).read_bytes()


def test_rows_without_a_prediction_are_counted_and_left_out() -> None:
    p, y, days = made(np.random.default_rng(8), 3)
    kept = cbpe.fit(p, y, days)
    with_gaps = np.concatenate([p, [np.nan, np.nan]])
    found = kept.estimate(with_gaps)
    assert (found.rows, found.left_out) == (3 * ROWS, 2)
    assert found.metrics == kept.estimate(p).metrics
    assert kept.estimate(np.array([np.nan])).metrics == {}
    assert kept.estimate(np.array([])).rows == 0


def test_days_of_one_class_tell_nothing_of_auc() -> None:
    dice = np.random.default_rng(9)
    p, y, days = made(dice, 4)
    y[days < 3] = 0.0
    kept = cbpe.fit(p, y, days, cbpe.Params(calibration="never"))
    assert kept.spread["roc_auc"].days == 1
    assert kept.spread["brier"].days == 4
    found = kept.estimate(p).metrics["roc_auc"]
    assert 0 < found.value < 1
    assert np.isnan([found.low, found.high, found.error]).all()


def test_own_days_are_estimated_by_what_was_fitted_on_others() -> None:
    """With as many folds as days each one is by itself; its labels then change nothing."""
    p, y, days = made(np.random.default_rng(11), 5, sharpness=2)
    turned = np.where(days == 3, 1 - y, y)
    told = cbpe.Params(calibration="always", folds=5)
    kept, other = (cbpe.fit(p, labels, days, told) for labels in (y, turned))
    assert list(kept.own["log_loss"]) == ["0", "1", "2", "3", "4"]
    for name in cbpe.METRICS:
        assert kept.own[name]["3"] == other.own[name]["3"]
    rest = cbpe.fit(p[days != 3], y[days != 3], days[days != 3], told)
    found = rest.estimate(p[days == 3]).metrics
    assert kept.own["log_loss"]["3"] == pytest.approx(found["log_loss"].value)


def test_one_day_is_no_reference() -> None:
    p, y, days = made(np.random.default_rng(10), 1)
    with pytest.raises(RejectedError, match="came 1 days, wanted 2 or more"):
        cbpe.fit(p, y, days)
