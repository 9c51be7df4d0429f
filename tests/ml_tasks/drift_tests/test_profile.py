from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from ml_tasks import drift_tests
from ml_tasks.drift_tests import profile
from ml_tasks.errors import ConfigError, RejectedError

if TYPE_CHECKING:
    from numpy.typing import NDArray

DAYS, ROWS = 40, 300
BEGIN = datetime(2024, 1, 1, tzinfo=UTC)
Columns = dict[str, Any]


def days_of(dice: np.random.Generator, number: int) -> Columns:
    """Give days on which warmth differs from day to day and the two others hang together."""
    days = np.repeat(np.arange(number), ROWS)
    warm = 10 * dice.standard_normal(number)[days] + dice.standard_normal(len(days))
    late = dice.standard_normal(len(days))
    queue = late + 0.3 * dice.standard_normal(len(days))
    late[dice.random(len(days)) < 0.02] = np.nan
    shop = np.where(queue > 1, "slow", np.where(queue > 0, "usual", "fast"))
    shop[dice.random(len(days)) < 0.1] = "new"
    return {
        "warm": warm,
        "late": late,
        "queue": queue,
        "shop": shop,
        "prediction": 1 / (1 + np.exp(-queue)),
        "event_time": [BEGIN + timedelta(days=int(day), hours=9) for day in days],
    }


def dates(reference: Columns) -> pa.Array:
    return pa.array([time.date() for time in reference["event_time"]])


def fitted(seed: int) -> tuple[drift_tests.Kept, dict[tuple[str, str], NDArray[np.float64]]]:
    reference = days_of(np.random.default_rng(seed), DAYS)
    kept = drift_tests.fit("profile", pa.table(reference), {}, "scipy")
    own = kept.own_looks(pa.table(reference), dates(reference))
    return kept, {signal: np.array(list(days.values())) for signal, days in own.items()}


def said(kept: drift_tests.Kept, window: Columns) -> dict[tuple[str, str], float]:
    return {drift.signal: drift.statistic for drift in kept.test(pa.table(window))}


def test_a_usual_day_is_as_the_others_are() -> None:
    kept, own = fitted(1)
    dice = np.random.default_rng(11)
    usual = [said(kept, days_of(dice, 1)) for _day in range(40)]
    assert {column for column, _of in own} == set(kept.columns)
    assert kept.columns == ("warm", "late", "queue", "shop", "prediction")
    for signal, values in own.items():
        assert values.shape == (DAYS,)
        assert np.mean([look[signal] > np.quantile(values, 0.9) for look in usual]) < 0.4


def test_what_never_differs_between_days_is_seen_and_what_always_does_is_not() -> None:
    kept, own = fitted(2)
    dice = np.random.default_rng(12)
    gone = days_of(dice, 1)
    gone["late"] = np.where(dice.random(ROWS) < 0.1, np.nan, gone["late"])
    assert said(kept, gone)["late", "values"] > own["late", "values"].max()

    torn = days_of(dice, 1)
    for name in ("queue", "shop"):
        torn[name] = dice.permutation(torn[name])  # the same values, in other rows
        found = said(kept, torn)
        assert found[name, "values"] < 2 * own[name, "values"].max()
        assert found[name, "ties"] > 3 * own[name, "ties"].max()
    assert found["late", "ties"] > 3 * own["late", "ties"].max()


def test_each_day_is_left_out_of_what_it_is_held_against() -> None:
    reference = days_of(np.random.default_rng(4), DAYS)
    table, whole = pa.table(reference), dates(reference)
    kept = drift_tests.fit("profile", table, {}, "scipy")
    own = kept.own_looks(table, whole)
    for day in (whole[0].as_py(), whole[17 * ROWS].as_py()):
        inside = pa.compute.equal(whole, pa.scalar(day))
        # The same cuts, so that only the days differ.
        rest = profile._described(
            table.filter(pa.compute.invert(inside)),
            kept._scales,
            np.split(np.arange((DAYS - 1) * ROWS), DAYS - 1),
        )
        usual = profile.Usual(
            (rest.shares.mean(0), rest.ties.mean(0)),
            (rest.shares.var(0, ddof=1), rest.ties.var(0, ddof=1)),
        )
        apart = profile.Profile(kept.told, kept.rows, kept._scales, usual)
        found = {d.signal: d.statistic for d in apart.test(table.filter(inside))}
        assert found == pytest.approx({signal: of[day] for signal, of in own.items()})


def test_texts_lie_in_the_order_of_what_they_are_worth() -> None:
    kept, _own = fitted(5)
    scale = kept._scales["shop"]
    assert scale.words == ("fast", "new", "slow", "usual")
    fast, new, slow, usual, other = scale.worth
    assert fast < new < usual < slow
    assert fast < other < slow
    table = pa.table({"shop": ["fast", None, "never seen", "slow"]})
    parts = scale.parts(table, "shop")
    assert parts[0] < parts[2] < parts[3] < parts[1] == profile.MISSING
    without = days_of(np.random.default_rng(5), DAYS)
    del without["prediction"]
    by_frequency = drift_tests.fit("profile", pa.table(without), {}, "scipy")._scales["shop"].worth
    assert np.argsort(by_frequency).tolist() == [4, 1, 2, 3, 0]


def test_few_days_have_no_spread_and_one_lies_nowhere_off() -> None:
    for number in (1, 2):
        reference = days_of(np.random.default_rng(6), number)
        table, days = pa.table(reference), dates(reference)
        kept = drift_tests.fit("profile", table, {}, "scipy")
        own = kept.own_looks(table, days)
        assert all(np.isfinite(list(of.values())).all() for of in own.values())
        assert all(value == 0 for of in own.values() for value in of.values()) == (number == 1)
        assert all(np.isfinite(drift.statistic) for drift in kept.test(table.slice(0, 5)))


def test_columns_without_values_and_windows_without_rows() -> None:
    times = [BEGIN + timedelta(days=n // 10) for n in range(30)]
    table = pa.table(
        {"none": pa.nulls(30, pa.float64()), "some": np.arange(30.0), "event_time": times}
    )
    kept = drift_tests.fit("profile", table, {}, "scipy")
    assert all(np.isfinite(drift.statistic) for drift in kept.test(table.slice(0, 10)))
    assert kept.test(table.slice(0, 0)) == ()
    with pytest.raises(RejectedError, match="column some: not among"):
        kept.test(table.drop_columns(["some"]))


def test_what_cannot_be_fitted() -> None:
    times = pa.array([BEGIN, BEGIN])
    with pytest.raises(ConfigError, match=r"has no times in 'event_time': say with"):
        drift_tests.fit("profile", pa.table({"a": [1.0, 2.0]}), {}, "scipy")
    with pytest.raises(ConfigError, match=r"none of the columns .* has numbers or texts"):
        drift_tests.fit("profile", pa.table({"event_time": times}), {}, "scipy")
    with pytest.raises(RejectedError, match="the reference has no rows"):
        drift_tests.fit("profile", pa.table({"a": pa.array([], pa.float64())}), {}, "scipy")
