"""A version that is watched day by day, with what it gets without being told."""

from __future__ import annotations

import math
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from ml_tasks.config.monitoring import Monitoring
from ml_tasks.models import spec
from ml_tasks.monitoring import fitting, worth
from ml_tasks.monitoring.budget import Budget
from ml_tasks.monitoring.days import Days
from ml_tasks.monitoring.reference import Found, Reference

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    from ml_tasks.io.watched import Alarm, Look

BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
DAYS, ROWS = 35, 200
NUMERIC, CATEGORICAL = ("price", "weight", "age"), ("shop",)
INPUTS = (*NUMERIC, *CATEGORICAL)


def predict(rows: pl.DataFrame) -> NDArray[np.float64]:
    """A model of price and shop; what is missing is as the average."""
    price = rows["price"].cast(pl.Float64).fill_null(0).fill_nan(0).to_numpy()
    east = (rows["shop"] == "east").fill_null(value=False).to_numpy()
    return 1 / (1 + np.exp(-(1.5 * price + 1.0 * east - 0.5)))


def day(place: int, dice: np.random.Generator) -> pl.DataFrame:
    """Rows of a day: prices have a mood of the day, and heavy things cost more."""
    price = dice.normal(0.3 * dice.standard_normal(), 1, ROWS)
    rows = pl.DataFrame(
        {
            "price": price,
            "weight": price + dice.normal(0, 0.5, ROWS),
            "age": dice.exponential(2, ROWS),
            "shop": dice.choice(["north", "south", "east"], ROWS, p=[0.5, 0.3, 0.2]),
            "event_time": [BEGIN + timedelta(days=place, minutes=n) for n in range(ROWS)],
        },
        schema_overrides={"event_time": pl.Datetime("us", "UTC")},
    )
    said = predict(rows)
    return rows.with_columns(
        pl.Series("prediction", said),
        pl.Series("label", (dice.random(ROWS) < said).astype(float)),
        (pl.col("event_time") + timedelta(hours=1)).alias("label_known_at"),
    )


@pytest.fixture(scope="module")
def reference() -> Reference:
    dice = np.random.default_rng(1)
    rows = pl.concat(day(place, dice) for place in range(DAYS))
    told = spec.fit(
        rows, task="classification", numeric=NUMERIC, categorical=CATEGORICAL, label="label"
    )
    importance = worth.importance(
        predict, rows, INPUTS, task="classification", metric="roc_auc", sign=1, seed=1
    )
    return fitting.fit(rows, told, Monitoring(engine="scipy"), importance, Budget())


def watched(reference: Reference, days: list[pl.DataFrame], floor: float = 0.0) -> list[Alarm]:
    found = Days("orders", "1", "run", reference)
    rows = pl.concat(days)
    looks = [*found.inputs(rows, []), *found.truth(rows, [], BEGIN + timedelta(days=999))]
    return [a for of in ("inputs", "truth") for a in found.followed(of, looks, floor)[1]]


def in_order(
    reference: Reference, weeks: dict[str, list[pl.DataFrame]], order: tuple[str, ...]
) -> tuple[dict[tuple[str, str], Look], dict[tuple[str, str], Alarm]]:
    """Watch weeks, each by its own run; give what control then has."""
    looks: dict[tuple[str, str], Look] = {}
    alarms: dict[tuple[str, str], Alarm] = {}
    for run in order:
        found, rows = Days("orders", "1", run, reference), pl.concat(weeks[run])
        before = list(looks.values())
        new = [*found.inputs(rows, before), *found.truth(rows, before, BEGIN + timedelta(days=999))]
        for of in ("inputs", "truth"):
            shared, came = found.followed(of, [*before, *new], 0.0)
            looks |= {(one.day, one.signal): one for one in shared}
            alarms |= {(one.day, one.of): one for one in came}
    return looks, alarms


@pytest.mark.parametrize("seed", [5, 6, 7])
def test_weeks_that_are_watched_out_of_their_order_come_to_the_same(
    reference: Reference, seed: int
) -> None:
    """A shift over the boundary of two weeks pages, whichever of them was watched first."""
    dice = np.random.default_rng(seed)
    days = [day(DAYS + n, dice) for n in range(21)]
    odd = [
        one.with_columns(pl.col("price") + (3 if 5 <= n <= 8 else 0)) for n, one in enumerate(days)
    ]
    weeks = {"one": odd[:7], "two": odd[7:14], "three": odd[14:]}
    looks, alarms = in_order(reference, weeks, ("one", "two", "three"))
    late, also = in_order(reference, weeks, ("two", "one", "three"))
    assert any(alarm.paged for alarm in alarms.values())
    assert late == looks
    assert {key: also.get(key) for key in alarms} == alarms


def test_usual_days_page_nobody_and_what_is_kept_says_the_same(
    reference: Reference, tmp_path: Path
) -> None:
    dice = np.random.default_rng(2)
    days = [day(DAYS + n, dice) for n in range(21)]
    assert watched(reference, days) == []
    reference.save(tmp_path)
    again, look = Reference.load(tmp_path), days[0]
    assert again.about == reference.about
    assert again.bins == reference.bins
    assert again.inputs(look) == reference.inputs(look)
    assert again.truth(look) == reference.truth(look)


def test_odd_predictions_that_pile_up_raise_an_alarm(reference: Reference) -> None:
    dice = np.random.default_rng(3)
    days = [day(DAYS + n, dice) for n in range(14)]
    odd = [
        one.with_columns(
            pl.when(pl.int_range(ROWS) % 12 == 0).then(n).otherwise(pl.col("age")).alias("age")
        )
        for n, one in zip(dice.uniform(25, 40, 14), days, strict=True)
    ]
    alarms = watched(reference, odd)
    assert alarms
    names = {signal["name"] for alarm in alarms for signal in alarm.signals}
    assert "outliers" in names
    assert next(a for a in alarms if a.signals[0]["name"] == "outliers").paged
    usual, piled = (
        np.mean([reference.inputs(one)["outliers"].value for one in some]) for some in (days, odd)
    )
    assert usual < 0.02 < 0.04 < piled
    scores = reference.outliers.score(odd[0].to_arrow())
    assert np.array_equal(scores.times > 1, scores.outliers)
    assert scores.culprit == "age"


def test_what_is_torn_is_seen_by_its_ties_and_costs_what_it_is_worth(reference: Reference) -> None:
    dice = np.random.default_rng(4)
    days = [day(DAYS + n, dice) for n in range(14)]
    torn = [one.with_columns(pl.col("price").shuffle(n)) for n, one in enumerate(days)]
    alarms = watched(reference, torn, floor=0.05)
    signals = {s["name"]: s["cost"] for alarm in alarms for s in alarm.signals}
    assert "profile price ties" in signals
    price = reference.about.importance["price"]
    assert price > 0.05 > reference.about.importance["weight"]
    # The tie of `weight` is torn by `price`: that is what it costs.
    assert signals["profile price ties"] == price
    assert signals.get("profile weight ties", price) == price
    assert any(alarm.paged for alarm in alarms)


def test_missing_values_cost_by_their_share(reference: Reference) -> None:
    about = reference.about
    assert about.gone["price"] > about.gone["age"] == about.importance["age"] == 0
    told = {
        "ks price missing": Found(0.1, ROWS),
        "ks price": Found(0.3, ROWS),
        "ks age": Found(0.9, ROWS),
        "outliers": Found(0.2, ROWS, by="shop"),
        "ks prediction": Found(0.1, ROWS),
        "ks label": Found(0.1, ROWS),
    }
    assert worth.costs(about, told) == {
        "ks price missing": pytest.approx(0.1 * about.gone["price"]),
        "ks price": about.importance["price"],
        "ks age": 0.0,
        "outliers": about.importance["shop"],
        "ks prediction": max(about.importance.values()),
    }
    dice = np.random.default_rng(5)
    lost = [
        day(DAYS + n, dice).with_columns(
            pl.when(pl.Series(dice.random(ROWS) < 0.5)).then("age").alias("age")
        )
        for n in range(14)
    ]
    moved = {s["name"]: s["cost"] for a in watched(reference, lost) for s in a.signals}
    assert moved["ks age missing"] == moved["profile age"] == 0


@pytest.mark.parametrize("column", ["label", "prediction"])
def test_what_is_no_number_is_not_looked_at(reference: Reference, column: str) -> None:
    rows = day(DAYS, np.random.default_rng(3))
    first = pl.int_range(pl.len()) == 0
    odd = rows.with_columns(pl.when(first).then(math.nan).otherwise(column).alias(column))
    found, wanted = (
        Days("orders", "1", "run", reference).truth(some, [], BEGIN + timedelta(days=999))
        for some in (odd, rows[1:])
    )
    assert found == wanted
    assert all(math.isfinite(look.value) for look in found)
