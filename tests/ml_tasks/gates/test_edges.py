"""Where exactly each gate begins to fail, and what it says of what it measured."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import ValidationError

from ml_tasks.config import Gate
from ml_tasks.errors import ConfigError
from ml_tasks.gates import judge
from ml_tasks.gates.bounds import Bounds
from ml_tasks.gates.holm import adjusted
from ml_tasks.gates.verdict import Interval, Judgement, Leak, Leaks, Measured, Segment

JUST = 1e-9


def around(value: float, low: float, high: float = 9.0) -> Interval:
    return Interval(value=value, low=low, high=high, error=0.01, bias=0.0)


def judged(name: str, measured: Measured, **params: object) -> Judgement:
    return judge(Gate(name=name, params=params), measured)


def measured(**parts: object) -> Measured:
    return Measured.model_validate({"candidate": "h", "champion": "3", "metrics": {}, **parts})


@pytest.mark.parametrize(("low", "passed"), [(JUST, True), (0.0, False), (-JUST, False)])
def test_no_difference_is_not_better(low: float, passed: bool) -> None:
    found = around(0.1, low)
    of = measured(over_champion={"m": found}, over_baseline={"b": {"m": found}})
    for name, more in (("beats_champion", {}), ("beats_baseline", {"baseline": "b"})):
        said = judged(name, of, metric="m", **more)
        assert said.passed is passed
        assert (said.measured, said.interval) == (0.1, (low, 9.0))
        assert said.threshold == "lower bound > 0"
    assert judged("beats_baseline", of, metric="m", baseline="b").gate == "beats_baseline b"


@pytest.mark.parametrize(
    ("params", "passed", "evidence"),
    [
        ({}, False, "champion 3 could not be measured: a column is gone"),
        ({"uncompared": "2"}, False, "champion 3 could not be measured: a column is gone"),
        ({"uncompared": "3"}, True, "measured: evaluation.gates lets it go uncompared: a column"),
    ],
)
def test_a_champion_that_cannot_be_measured_is_followed_only_where_it_is_named(
    params: dict[str, str], passed: bool, evidence: str
) -> None:
    of = measured(champion_unmeasured="a column is gone", over_champion={"m": around(1, 0.9)})
    said = judged("beats_champion", of, metric="m", **params)
    assert said.passed is passed
    assert evidence in said.evidence
    assert (said.gate, said.measured, said.threshold) == (
        "beats_champion", None, "lower bound > 0"
    )  # fmt: skip


@pytest.mark.parametrize(
    ("value", "passed"), [(0.2, True), (0.2 - JUST, False), (0.4, True), (0.4 + JUST, False)]
)
def test_both_bounds_of_a_floor_belong_to_it(value: float, passed: bool) -> None:
    said = judged("floor", measured(metrics={"m": around(value, 0.1)}), metric="m", minimum=0.2,
                  maximum=0.4)  # fmt: skip
    assert said.passed is passed
    assert (said.gate, said.measured, said.interval) == ("floor m", value, (0.1, 9.0))
    assert said.threshold == ">= 0.2 and <= 0.4"


def test_the_words_of_one_bound() -> None:
    of = measured(metrics={"m": around(0, 0)})
    assert judged("floor", of, metric="m", minimum=0).threshold == ">= 0.0"
    assert judged("floor", of, metric="m", maximum=0).threshold == "<= 0.0"


@pytest.mark.parametrize(
    "given",
    [
        {"metric": "roc_auc", "minimum": 1},
        {"metric": "roc_auc", "maximum": 0},
        {"metric": "rmse", "maximum": 0},
        {"metric": "r2", "maximum": -1},
        {"metric": "m", "minimum": 0.2, "maximum": 0.2},
    ],
)
def test_a_bound_that_one_value_keeps_to_is_a_bound(given: dict[str, Any]) -> None:
    assert Bounds(**given).threshold


@pytest.mark.parametrize(
    "given",
    [
        {"metric": "roc_auc", "minimum": 1 + JUST},
        {"metric": "roc_auc", "maximum": -JUST},
        {"metric": "rmse", "maximum": -JUST},
        {"metric": "m", "minimum": 0.2 + JUST, "maximum": 0.2},
    ],
)
def test_a_bound_that_no_value_keeps_to_is_refused(given: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="no value of it passes"):
        Bounds(**given)


def test_what_was_not_measured_fails_without_a_number() -> None:
    for name, params in (
        ("floor", {"metric": "m", "minimum": 0}),
        ("beats_champion", {"metric": "m"}),
        ("beats_baseline", {"metric": "m", "baseline": "b"}),
        ("worst_segment", {"metric": "m", "minimum": 0}),
        ("no_leak", {"ceiling": 0.9}),
    ):
        said = judged(name, measured(), **params)
        assert (said.passed, said.measured, said.interval) == (False, None, None)


def proof(**parts: object) -> Measured:
    told = {"set_hash": "s", "rows": 9, "cells": 18, "leaks": (), "strength": {"a": 0.7, "b": 0.8},
            "coincidence": {"a": 0.004, "b": 0.005}}  # fmt: skip
    return measured(leaks=Leaks.model_validate(told | parts))


@pytest.mark.parametrize(
    ("ceiling", "coincidence", "leaking"),
    [(0.8, 0.005, 0), (0.8 - JUST, 0.005, 1), (0.8, 0.005 - JUST, 1), (0.69, 0.003, 2)],
)
def test_a_column_leaks_beyond_its_bounds(ceiling: float, coincidence: float, leaking: int) -> None:
    said = judged("no_leak", proof(), ceiling=ceiling, coincidence=coincidence)
    assert (said.passed, said.measured) == (not leaking, leaking)
    if not leaking:
        assert said.evidence.endswith("alone b tells most, AUC 0.8000")


def test_a_leak_is_told_before_how_strong_its_column_is() -> None:
    leak = Leak(column="b", kind="future row", rows=3, evidence="3 of 9")
    said = judged("no_leak", proof(leaks=(leak,)), ceiling=0.75)
    assert (said.passed, said.measured, said.evidence) == (False, 1, "b: future row: 3 of 9")


@pytest.mark.parametrize(("ceiling", "good"), [(0.5, False), (0.51, True), (1, False)])
def test_a_ceiling_that_lets_all_through_is_none(ceiling: float, good: bool) -> None:
    if good:
        judged("no_leak", proof(), ceiling=ceiling)
        return
    with pytest.raises(ConfigError, match="ceiling: came"):
        judged("no_leak", proof(), ceiling=ceiling)


@pytest.mark.parametrize("five", [5, 6])
def test_five_leaks_are_shown(five: int) -> None:
    leaks = tuple(Leak(column=f"c{n}", kind="k", rows=1, evidence="e") for n in range(five))
    said = judged("no_leak", proof(leaks=leaks), ceiling=0.9)
    assert said.evidence.count("k: e") == 5
    assert said.evidence.endswith("and 1 more" if five == 6 else "c4: k: e")


def segment(rows: int = 300, days: float = 2, value: float = 0.5) -> Segment:
    return Segment(name="s", rows=rows, days=days, metrics={"m": around(value, 0.4)})


@pytest.mark.parametrize(
    ("one", "counted"), [(segment(), True), (segment(rows=299), False), (segment(days=1.9), False)]
)
def test_a_segment_counts_from_its_rows_and_days_on(one: Segment, counted: bool) -> None:
    said = judged("worst_segment", measured(segments=(one,)), metric="m", minimum=0.1)
    assert said.passed is counted
    assert said.measured == (0.5 if counted else None)


def test_alpha_itself_is_beyond() -> None:
    """At the bound p is exactly a half; the largest alpha is below that."""
    from ml_tasks.gates.worst_segment import p_value

    one = segment(days=30, value=0.48)
    p = p_value(one.metrics["m"], 30, 0.5 - 0.48)
    for alpha, passed in ((p, False), (p * (1 - 1e-6), True)):
        said = judged("worst_segment", measured(segments=(one,)), metric="m", minimum=0.5,
                      alpha=alpha)  # fmt: skip
        assert said.passed is passed


def test_of_equal_chances_the_farther_one_is_worst_and_then_the_name() -> None:
    def named(name: str, value: float) -> Segment:
        metrics = {"m": Interval(value=value, low=0, high=1, error=0.0, bias=0.0)}
        return Segment(name=name, rows=300, days=9, metrics=metrics)

    for parts, worst in (
        ((named("b", 0.2), named("a", 0.3)), "b"),
        ((named("b", 0.3), named("a", 0.3)), "a"),
    ):
        said = judged("worst_segment", measured(segments=parts), metric="m", minimum=0.5)
        assert f"worst of 2 segments is {worst} with" in said.evidence


def test_adjusted_chances_never_exceed_one_nor_fall() -> None:
    assert adjusted([]) == []
    assert adjusted([0.6, 0.01, 0.9]) == [1.0, 0.03, 1.0]
    assert adjusted([0.02, 0.021, 0.01]) == [0.04, 0.04, 0.03]
    assert adjusted([1.0]) == [1.0]


def test_without_spread_a_segment_is_surely_beyond_or_surely_not() -> None:
    from ml_tasks.gates.worst_segment import p_value

    still = Interval(value=0.5, low=0.5, high=0.5, error=0.0, bias=0.0)
    assert [p_value(still, 9, beyond) for beyond in (-1, 0, JUST)] == [1.0, 1.0, 0.0]


@pytest.mark.parametrize(
    ("params", "good"),
    [({"min_rows": 1}, True), ({"min_rows": 0}, False), ({"alpha": 0}, False),
     ({"alpha": 0.5}, False)],
)  # fmt: skip
def test_parameters_that_would_let_all_through(params: dict[str, float], good: bool) -> None:
    told = {"metric": "m", "minimum": 0.1, **params}
    if good:
        assert judged("worst_segment", measured(segments=(segment(rows=1),)), **told).passed
        return
    with pytest.raises(ConfigError, match=f"{next(iter(params))}: came"):
        judged("worst_segment", measured(), **told)
