from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from ml_tasks.io import distributions as kept
from ml_tasks.monitoring import distributions
from ml_tasks.monitoring.distributions import Bins
from ml_tasks.result import Window

if TYPE_CHECKING:
    from pathlib import Path

WINDOW = Window.parse("2024-03-04/2024-03-11")


def rows(number: int, seed: int, begin: datetime = WINDOW.start) -> pl.DataFrame:
    dice = np.random.default_rng(seed)
    rain = np.where(dice.random(number) < 0.9, 0.0, dice.exponential(3, number))
    shop = dice.choice(["north", "south", "east"], number, p=[0.5, 0.3, 0.2])
    return pl.DataFrame(
        {
            "price": dice.normal(10, 2, number),
            "rain": pl.Series(rain).set(pl.Series(np.arange(number) % 20 == 0), None),
            "shop": pl.Series(shop).set(pl.Series(np.arange(number) % 10 == 0), None),
            "event_time": [begin + timedelta(hours=n * 48 / number) for n in range(number)],
        },
        schema_overrides={"event_time": pl.Datetime("us", "UTC")},
    )


@pytest.fixture(scope="module")
def bins() -> Bins:
    return distributions.fit(rows(4000, 1), ("price", "rain"), ("shop",))


def test_each_day_s_rows_are_in_one_bin_each(bins: Bins) -> None:
    window = rows(600, 2).with_columns(
        shop=pl.when(pl.int_range(600) < 30).then(pl.lit("new")).otherwise("shop")
    )
    found = bins.spread(window, "7", WINDOW)
    assert found.schema == kept.none().schema
    assert found["event_time"].unique().sort().to_list() == [
        WINDOW.start + timedelta(days=n) for n in range(2)
    ]
    sums = found.group_by("event_time", "column").agg(pl.sum("count", "share", "usual"))
    assert sums["count"].to_list() == [300] * 6
    for name in ("share", "usual"):
        assert sums[name].to_numpy() == pytest.approx(1.0)
    first = found.filter(pl.col("event_time") == WINDOW.start)
    price = first.filter(pl.col("column") == "price")
    assert price["of"].to_list() == ["bin"] * 10 + ["missing"]
    assert price["usual"][:10].to_numpy() == pytest.approx(0.1, abs=0.01)
    edge = price["low"][5]
    own = window.head(300)["price"]
    assert price["count"][:5].sum() == (own < edge).sum()
    assert price["high"][4] == edge
    shop = first.filter(pl.col("column") == "shop")
    assert shop["of"].to_list() == ["word"] * 3 + ["others", "missing"]
    assert shop["value"].to_list() == ["north", "south", "east", None, None]
    assert shop["count"].to_list()[3:] == [30, 27]


def test_where_one_number_is_most_of_them_the_others_are_told_apart_too(bins: Bins) -> None:
    edges = bins.edges["rain"]
    assert edges[0] == 0.0
    assert len(edges) > 8
    found = bins.spread(rows(600, 3), "7", WINDOW)
    rain = found.filter(pl.col("column") == "rain")
    assert rain.filter(pl.col("of") == "missing")["count"].sum() == 30


def test_a_day_that_begins_before_the_window_begins_with_it(bins: Bins) -> None:
    noon = Window.parse("2024-03-04T12:00:00Z/2024-03-11T12:00:00Z")
    found = bins.spread(rows(60, 4, noon.start), "7", noon)
    assert found["event_time"].min() == datetime(2024, 3, 4, 12, tzinfo=UTC)
    assert found["event_time"].n_unique() == 3
    assert bins.spread(rows(0, 4), "7", WINDOW).equals(kept.none())


def test_columns_without_values(bins: Bins, tmp_path: Path) -> None:
    empty = rows(20, 5).with_columns(
        pl.lit(None, pl.Float64).alias("price"), pl.lit(None, pl.String).alias("shop")
    )
    made = distributions.fit(empty, ("price", "rain"), ("shop",))
    assert (made.edges["price"], made.words["shop"]) == ((), ())
    assert made.usual["price"] == (0.0, 1.0)
    for one in (made, bins):
        one.save(tmp_path)
        assert Bins.load(tmp_path) == one


def test_one_version_s_rows_take_the_place_of_its_own(bins: Bins) -> None:
    old, new = (bins.spread(rows(60, 6), version, WINDOW) for version in ("1", "2"))
    both = kept.together(old, new)
    assert both["version"].value_counts(sort=True)["count"].to_list() == [old.height] * 2
    assert kept.together(both, new).equals(both)
    assert kept.together(kept.none(), new).equals(new)
