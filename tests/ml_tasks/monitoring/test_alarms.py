from __future__ import annotations

import math
from dataclasses import replace
from itertools import permutations
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from ml_tasks.errors import ConfigError
from ml_tasks.monitoring import conformal
from ml_tasks.monitoring.alarms import begin, replay
from ml_tasks.monitoring.budget import Budget

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

QUARTER, DAYS, FEW = 91, 30, 5
NAMES = ("wind", "hour", "loss")
EVEN = dict.fromkeys(NAMES, 1 / 3)


def _draw(rng: np.random.Generator, days: int, shift: float = 0.0) -> NDArray[np.float64]:
    """Give a row a day; signals depend on each other, the last is mostly the same."""
    common = rng.standard_normal((days, 1))
    drawn = common + 0.5 * rng.standard_normal((days, 3)) + shift
    drawn[:, 2] = np.maximum(drawn[:, 2], 0.0)
    return drawn


def _told(rows: NDArray[np.float64]) -> Iterator[tuple[dict[str, float], None]]:
    for row in rows.tolist():
        yield dict(zip(NAMES, row, strict=True)), None


def _own(rows: NDArray[np.float64]) -> dict[str, list[float]]:
    return dict(zip(NAMES, rows.T.tolist(), strict=True))


def _pages(histories: int, seed: int, days: int, *, rounded: bool = False) -> tuple[float, float]:
    """Give the mean number of pages a quarter without drift, and its standard error."""
    rng = np.random.default_rng(seed)
    counts = []
    for _history in range(histories):
        rows = _draw(rng, days + QUARTER)
        rows = np.round(rows) if rounded else rows
        watch = begin(_own(rows[:days]), EVEN, Budget(1, QUARTER))
        _watch, updates = replay(watch, _told(rows[days:]))
        counts.append(sum(update.alarm for update in updates))
    return float(np.mean(counts)), float(np.std(counts) / math.sqrt(histories))


@pytest.mark.parametrize(("days", "rounded"), [(FEW, False), (DAYS, False), (FEW, True)])
def test_false_pages_keep_to_the_budget(days: int, rounded: bool) -> None:
    mean, error = _pages(200, seed=1, days=days, rounded=rounded)
    assert 0 < mean < 1 - 3 * error


def _among_the_reference(
    bag: NDArray[np.float64], look: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[Any]]:
    return right(bag[:FEW], look)


def _ties_in_favour(
    bag: NDArray[np.float64], look: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[Any]]:
    return 1 + (bag > look).sum(axis=0), 1 + (~np.isnan(bag)).sum(axis=0)


def _without_itself(
    bag: NDArray[np.float64], look: NDArray[np.float64]
) -> tuple[NDArray[Any], NDArray[Any]]:
    rank, number = right(bag, look)
    return np.maximum(rank - 1, 1), number


right = conformal.ranks


@pytest.mark.parametrize(
    ("wrong", "rounded"),
    [(_among_the_reference, False), (_ties_in_favour, True), (_without_itself, False)],
)
def test_wrong_ranks_break_the_budget(
    wrong: Any, rounded: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(conformal, "ranks", wrong)
    mean, error = _pages(200, seed=2, days=FEW, rounded=rounded)
    assert mean > 1 + 3 * error


def test_expected_alarms_over_all_orders_of_days() -> None:
    # Two signals of the same days, the second one with ties: exact, not simulated.
    days = list(zip((0.1, 0.2, 0.3, 0.4, 0.5, 0.6), (3.0, 1.0, 1.0, 2.0, 3.0, 3.0), strict=True))
    budget = Budget(false_pages=1, days=3)
    counts = []
    for order in permutations(days):
        watch = begin({"a": [], "b": []}, {"a": 0.5, "b": 0.5}, budget)
        _watch, updates = replay(watch, [({"a": a, "b": b}, None) for a, b in order])
        counts.append(sum(len(update.pages) for update in updates))
    assert 0 < np.mean(counts) <= len(days) / 3


def test_a_shift_is_found_within_two_weeks() -> None:
    rng = np.random.default_rng(3)
    found = 0
    for _history in range(40):
        watch = begin(_own(_draw(rng, 60)), EVEN, Budget())
        _watch, updates = replay(watch, _told(_draw(rng, 14, shift=3.0)))
        found += any(update.alarm for update in updates)
    assert found >= 32


def test_one_by_one_is_the_same_as_all_at_once() -> None:
    rng = np.random.default_rng(4)
    rows = _draw(rng, DAYS + 40, shift=0.0)
    rows[DAYS + 20 :] += 4
    rows[DAYS + 5, 1] = math.nan
    watch = begin(_own(rows[:DAYS]), EVEN, Budget(), floor=0.1)
    _whole, updates = replay(watch, _told(rows[DAYS:]))
    one_by_one = []
    for statistics, costs in _told(rows[DAYS:]):
        watch, update = watch.look(statistics, costs)
        one_by_one.append(update)
    told = [[(one.look, one.signals) for one in some] for some in (one_by_one, updates)]
    assert repr(told[0]) == repr(told[1])
    assert sum(update.alarm for update in updates) >= 1


def test_days_that_last_keep_to_the_budget() -> None:
    """Weeks of equal days: among them ranks of days alone would page far more often."""
    rng = np.random.default_rng(5)
    counts: dict[bool, list[int]] = {True: [], False: []}
    for _history in range(20):
        rows = np.repeat(_draw(rng, 9 + 26), 7, axis=0)
        watch = begin(_own(rows[:63]), EVEN, Budget(1, QUARTER))
        assert watch.lasting.max() > 3
        for heeded, one in ((True, watch), (False, replace(watch, lasting=np.ones(3)))):
            updates = replay(one, _told(rows[63:]))[1]
            counts[heeded].append(sum(update.alarm for update in updates))
    assert np.mean(counts[True]) < 2 < np.mean(counts[False])


def test_a_signal_begins_again_after_its_alarm_and_others_go_on() -> None:
    watch = begin({"a": [0.0] * 20, "b": [0.0] * 20}, {"a": 0.9, "b": 0.1}, Budget(1, 7))
    for value in range(1, 10):
        watch, update = watch.look({"a": float(value), "b": float(value)})
        if update.alarm:
            break
    assert [signal.name for signal in update.pages] == ["a"]
    levels = dict(zip(watch.names, watch.capitals.sum(axis=1), strict=True))
    assert levels["a"] == 0
    assert levels["b"] > 0
    assert update.level >= 1
    assert watch.look({"a": -1.0, "b": -1.0})[1].signals[-1].level > 0


def test_what_costs_little_is_listed_and_ranked_below() -> None:
    watch = begin({n: [0.0] * 50 for n in NAMES}, EVEN, Budget(1, 5), floor=0.002)
    costs = {"wind": 0.001, "hour": 0.03, "loss": 0.01}
    for value in range(1, 10):
        watch, update = watch.look(dict.fromkeys(NAMES, float(value)), costs)
        if update.alarm:
            break
    assert [signal.name for signal in update.signals] == ["hour", "loss", "wind"]
    assert [signal.name for signal in update.pages] == ["hour", "loss"]
    assert [signal.name for signal in update.listed] == ["wind"]
    _watch, cheap = begin({n: [0.0] * 50 for n in NAMES}, EVEN, Budget(5, 1), floor=0.1).look(
        dict.fromkeys(NAMES, 1.0), costs
    )
    assert not cheap.alarm
    assert len(cheap.listed) == 3


@pytest.mark.parametrize("costs", [None, {}, {"wind": 0.0}, {"hour": math.nan, "loss": math.nan}])
def test_whose_cost_nobody_knows_pages(costs: dict[str, float] | None) -> None:
    watch = begin({n: [0.0] * 50 for n in NAMES}, EVEN, Budget(5, 1), floor=0.1)
    _watch, update = watch.look(dict.fromkeys(NAMES, 1.0), costs)
    assert {"hour", "loss"} <= {signal.name for signal in update.pages}


def test_what_was_not_measured_changes_nothing() -> None:
    watch = begin({n: list(range(20)) for n in NAMES}, EVEN, Budget())
    watch, before = watch.look(dict.fromkeys(NAMES, 30.0))
    watch, after = watch.look({"wind": math.nan})
    assert {s.name: s.level for s in after.signals} == {s.name: s.level for s in before.signals}
    assert all(math.isnan(signal.p_value) for signal in after.signals)
    _watch, next_one = watch.look({"wind": 31.0})
    wind = next(signal for signal in next_one.signals if signal.name == "wind")
    assert wind.p_value == 1 / 22


@pytest.mark.parametrize(
    ("weights", "own", "match"),
    [
        ({"a": 0.5}, {"a": [1.0], "b": [1.0]}, r"\['b'\] have no part"),
        ({"a": 0.9, "b": 0.2}, {"a": [1.0], "b": [1.0]}, "sum to 1.1"),
        ({"a": 0.5, "b": 0.5}, {"a": [1.0], "b": [1.0, 2.0]}, "'b': 2"),
    ],
)
def test_refused(weights: dict[str, float], own: dict[str, list[float]], match: str) -> None:
    with pytest.raises(ConfigError, match=match):
        begin(own, weights, Budget())


def test_refused_looks() -> None:
    watch = begin({"a": [1.0, 2.0]}, {"a": 1.0}, Budget())
    with pytest.raises(ConfigError, match=r"\['b'\] are not watched"):
        watch.look({"b": 1.0})
    with pytest.raises(ConfigError, match=r"\['a'\] are infinite"):
        watch.look({"a": math.inf})
