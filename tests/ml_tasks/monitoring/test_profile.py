from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from ml_tasks.errors import ConfigError
from ml_tasks.monitoring.profile import as_numbers, culprits, fit, restore

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

DAYS, ROWS = 40, 300


def _days(
    rng: np.random.Generator, number: int
) -> tuple[dict[str, NDArray[np.float64]], NDArray[np.int64]]:
    """Give days on which warmth differs from day to day and the two others hang together."""
    days = np.repeat(np.arange(number), ROWS)
    warm = 10 * rng.standard_normal(number)[days] + rng.standard_normal(len(days))
    late = rng.standard_normal(len(days))
    queue = late + 0.3 * rng.standard_normal(len(days))
    late[rng.random(len(days)) < 0.02] = np.nan
    return {"warm": warm, "late": late, "queue": queue}, days


def _look(rng: np.random.Generator) -> dict[str, NDArray[np.float64]]:
    return _days(rng, 1)[0]


def test_a_usual_day_is_as_the_others_are() -> None:
    rng = np.random.default_rng(1)
    columns, days = _days(rng, DAYS)
    scales = fit(columns, days)
    own = scales.own_looks(columns, days)
    usual = [scales.test(_look(rng)) for _day in range(40)]
    for name, (values, ties) in own.items():
        assert values.shape == ties.shape == (DAYS,)
        above = np.mean([look[name][0] > np.quantile(values, 0.9) for look in usual])
        assert above < 0.35


def test_what_never_differs_between_days_is_seen_and_what_always_does_is_not() -> None:
    rng = np.random.default_rng(2)
    columns, days = _days(rng, DAYS)
    scales = fit(columns, days)
    own = scales.own_looks(columns, days)

    gone = _look(rng)
    gone["late"] = np.where(rng.random(ROWS) < 0.1, np.nan, gone["late"])
    assert scales.test(gone)["late"][0] > own["late"][0].max()

    torn = _look(rng)
    torn["queue"] = rng.permutation(torn["queue"])  # the same values, in other rows
    assert scales.test(torn)["queue"][0] < 2 * own["queue"][0].max()
    assert scales.test(torn)["queue"][1] > 3 * own["queue"][1].max()
    assert scales.test(torn)["late"][1] > 3 * own["late"][1].max()


def test_who_is_out_of_joint_is_told_from_whom_it_touches() -> None:
    usual = dict.fromkeys(("hour", "dest", "carrier", "wind"), 5.0)
    assert culprits({"hour": 4.0, "dest": 60.0, "carrier": 22.0, "wind": 6.0}, usual) == {
        "hour": "dest", "dest": "dest", "carrier": "dest", "wind": "dest",
    }  # fmt: skip
    level = {"hour": 4.0, "dest": 5.0, "carrier": 5.5, "wind": 6.0}
    assert culprits(level, usual) == {name: name for name in usual}


def test_each_day_is_left_out_of_what_it_is_held_against() -> None:
    rng = np.random.default_rng(4)
    columns, days = _days(rng, DAYS)
    scales = fit(columns, days)
    values, ties = scales.own_looks(columns, days)["late"]
    for day in (0, 17):
        rest = days != day
        # The same cuts, so that only the days differ.
        others = fit(columns, days)
        shares, bonds, _rows = others.describe(
            {n: c[rest] for n, c in columns.items()}, _again(days[rest])
        )
        apart = type(others)(
            others.names, others.knots, (shares.mean(0), bonds.mean(0)),
            (shares.var(0, ddof=1), bonds.var(0, ddof=1)),
        )  # fmt: skip
        found = apart.test({n: c[~rest] for n, c in columns.items()})["late"]
        assert found == pytest.approx((values[day], ties[day]))


def _again(days: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.unique(days, return_inverse=True)[1]


def test_kept_and_restored(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    columns, days = _days(rng, DAYS)
    scales = fit(columns, days)
    np.savez(tmp_path / "profiles.npz", **scales.arrays())
    again = restore(np.load(tmp_path / "profiles.npz"))
    look = _look(rng)
    assert again.test(look) == scales.test(look)


def test_texts_and_columns_without_values() -> None:
    texts = np.array(["a", "b", "a", "z"])
    assert as_numbers(texts, {"a": 0.1, "b": 0.4}, 0.2).tolist() == [0.1, 0.4, 0.1, 0.2]
    columns = {"none": np.full(30, np.nan), "some": np.arange(30.0)}
    scales = fit(columns, np.repeat(np.arange(3), 10))
    found = scales.test({"none": np.full(10, np.nan), "some": np.arange(10.0)})
    assert all(np.isfinite(found["none"]))


def test_too_few_days() -> None:
    with pytest.raises(ConfigError, match="has 2 days, wanted 3 at least"):
        fit({"a": np.arange(4.0)}, np.array([0, 0, 1, 1]))
