from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl
import pytest

from ml_tasks.monitoring.realised import ALL, Measure, Part, realised
from ml_tasks.training.metrics import measure

START = datetime(2013, 5, 7, tzinfo=UTC)
WEEK = (START, START + timedelta(days=7))
LATER = START + timedelta(days=30)
KEY = ("carrier", "flight")


def predicted(n: int = 700, *, days: int = 7, version: str = "1.0.0") -> pl.DataFrame:
    """Give predictions, as many a day."""
    dice = np.random.default_rng(1)
    at = [START + timedelta(days=k % days, minutes=k) for k in range(n)]
    return pl.DataFrame(
        {
            "carrier": [None if k % 10 == 0 else "UA" for k in range(n)],
            "flight": range(n),
            "event_time": at,
            "asked_at": [one - timedelta(hours=1) for one in at],
            "version": version,
            "prediction": dice.uniform(size=n),
            "segment_origin": [("EWR", "JFK", None)[k % 3] for k in range(n)],
        }
    )


def labelled(predictions: pl.DataFrame) -> pl.DataFrame:
    """Give a label to each, known a day after the event."""
    chance = predictions["prediction"].to_numpy()
    ones = np.random.default_rng(2).uniform(size=len(chance)) < chance
    return predictions.select(
        *KEY,
        pl.Series("label", ones.astype(float)),
        (pl.col("event_time") + timedelta(days=1)).alias("label_known_at"),
    )


def joined(predictions: pl.DataFrame, labels: pl.DataFrame, **told: Any) -> tuple[Part, ...]:
    told = {"measure": Measure("classification", draws=50), "moment": LATER, **told}
    return realised(predictions.to_arrow(), labels.to_arrow(), key=KEY, window=WEEK, **told)


def values(part: Part) -> dict[str, float]:
    return {name: found.value for name, found in part.metrics.items()}


def test_it_is_the_metric_of_predictions_and_their_labels() -> None:
    made = predicted()
    labels = labelled(made)
    found = joined(made, labels.sample(fraction=1, shuffle=True, seed=3))
    (whole,) = found
    wanted = measure("classification", labels["label"].to_numpy(), made["prediction"].to_numpy())
    assert (whole.version, whole.segment) == ("1.0.0", ALL)
    assert (whole.predicted, whole.rows, whole.coverage) == (700, 700, 1.0)
    assert whole.days == pytest.approx(7)
    assert values(whole) == pytest.approx({name: wanted[name] for name in whole.metrics})
    assert all(one.low < one.value < one.high for n, one in whole.metrics.items() if n != "ece")


def test_regressions_are_measured_too() -> None:
    made = predicted(140)
    labels = labelled(made)
    (whole,) = joined(made, labels, measure=Measure("regression", draws=50))
    assert set(whole.metrics) == {"mae", "rmse", "r2"}


def test_only_labels_that_were_known_by_the_moment_count() -> None:
    """At noon of the fourth day the labels of three days are in, and those of half a day."""
    made = predicted()
    labels, moment = labelled(made), START + timedelta(days=3, hours=5, minutes=30)
    found = joined(made, labels, moment=moment)
    known = labels.filter(pl.col("label_known_at") <= moment).height
    (whole,) = found
    assert (whole.predicted, whole.rows) == (700, known)
    assert 200 < known < 400
    assert whole.coverage == known / 700
    assert whole.days < 4
    (none,) = joined(made, labels, moment=START)
    assert (none.metrics, none.coverage) == ({}, 0.0)


def test_the_newest_label_counts_and_null_takes_one_back() -> None:
    made = predicted(70)
    first = labelled(made)
    later = pl.col("label_known_at") + timedelta(days=2)
    turned = first[:10].with_columns(later, label=1 - pl.col("label"))
    back = first[10:15].with_columns(pl.lit(None, pl.Float64).alias("label"), later)
    labels = pl.concat([turned, back, first])
    truth = first.with_columns(
        pl.when(pl.col("flight") < 10).then(1 - pl.col("label")).otherwise("label").alias("label")
    ).filter(~pl.col("flight").is_between(10, 14))
    kept = made.filter(~pl.col("flight").is_between(10, 14))
    (whole,) = joined(made, labels)
    assert whole.rows == 65
    assert whole.metrics["brier"].value == pytest.approx(
        ((truth["label"] - kept["prediction"]) ** 2).mean()
    )
    (before,) = joined(made, labels, moment=START + timedelta(days=2, hours=12))
    (bare,) = joined(made, first, moment=START + timedelta(days=2, hours=12))
    assert before == bare


def test_of_predictions_that_repeat_the_first_counts() -> None:
    made = predicted(70)
    again = made.with_columns(
        pl.col("asked_at") + timedelta(minutes=10), prediction=1 - pl.col("prediction")
    ).head(30)
    found = joined(pl.concat([again, made]), labelled(made))
    assert found == joined(made, labelled(made))


def test_versions_are_measured_by_themselves_on_what_each_predicted() -> None:
    old, new = predicted(140), predicted(140, version="1.1.0")
    new = new.with_columns(prediction=1 - pl.col("prediction")).filter(pl.col("flight") >= 40)
    found = joined(pl.concat([new, old]), labelled(old))
    assert [(part.version, part.predicted) for part in found] == [
        ("1.0.0", 140),
        ("1.1.0", 100),
    ]
    first, second = (part.metrics["roc_auc"].value for part in found)
    assert second < 0.5 < first


def test_rows_of_other_windows_are_not_measured() -> None:
    made = predicted(140)
    outside = made.with_columns(
        pl.col("event_time") + timedelta(days=7), pl.col("flight") + 1000, prediction=0.5
    )
    labels = pl.concat([labelled(made), labelled(outside)])
    found = joined(pl.concat([made, outside]), labels)
    assert found == joined(made, labelled(made))


def test_one_day_has_a_value_and_no_interval() -> None:
    made = predicted(140, days=1)
    (part,) = joined(made, labelled(made))
    brier = part.metrics["brier"]
    assert 0 < brier.value < 1
    assert all(map(math.isnan, (brier.low, brier.high, brier.error)))
    assert part.days == pytest.approx(1)


def test_segments_are_measured_with_a_name_for_null() -> None:
    made = predicted(210)
    found = joined(made, labelled(made), segments=("origin",))
    names = [part.segment for part in found]
    assert names == [ALL, "origin=(none)", "origin=EWR", "origin=JFK"]
    assert [part.predicted for part in found] == [210, 70, 70, 70]
    rows = made["segment_origin"] == "JFK"
    labels = labelled(made)["label"]
    assert found[3].metrics["brier"].value == pytest.approx(
        ((labels.filter(rows) - made["prediction"].filter(rows)) ** 2).mean()
    )


def test_what_the_model_did_not_say_lowers_the_coverage() -> None:
    made = predicted(140).with_columns(
        pl.when(pl.col("flight") >= 35).then("prediction").alias("prediction")
    )
    (whole,) = joined(made, labelled(made))
    assert whole.coverage == 0.75


def test_without_predictions_there_is_nothing_to_measure() -> None:
    made = predicted(140)
    found = joined(made.clear(), labelled(made))
    assert found == ()
    nothing = joined(made, labelled(made).clear())
    assert [part.metrics for part in nothing] == [{}]
