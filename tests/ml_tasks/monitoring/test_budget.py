from __future__ import annotations

import math

import pytest

from ml_tasks.errors import ConfigError
from ml_tasks.monitoring.budget import Budget, by_cost, parts


def test_threshold_is_looks_for_a_false_page_over_the_part() -> None:
    assert Budget(false_pages=1, days=91).threshold(1.0) == 91
    assert Budget(false_pages=2, days=91).threshold(0.5) == 91
    assert Budget().threshold(0.01) == pytest.approx(9_100)
    assert Budget().threshold(1.0, looks_a_day=24) == 91 * 24


def test_models_share_what_their_owner_allows() -> None:
    shared = Budget(false_pages=1, days=91).shared({"flights": 3.0, "minutes": 1.0})
    assert shared == {"flights": Budget(0.75, 91), "minutes": Budget(0.25, 91)}
    rate = sum(1 / budget.threshold(part) for budget in shared.values() for part in (0.4, 0.6))
    assert rate == pytest.approx(1 / 91)


@pytest.mark.parametrize("wrong", [{"false_pages": 0.0}, {"days": -1.0}, {"days": math.inf}])
def test_no_budget(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"budget {next(iter(wrong))}: came"):
        Budget(**wrong)


def test_weights_by_cost() -> None:
    assert by_cost({"a": 0.03, "b": 0.01, "c": -0.5}, even=0.3) == pytest.approx(
        {"a": 0.1 + 0.7 * 0.75, "b": 0.1 + 0.7 * 0.25, "c": 0.1}
    )
    assert by_cost({"a": 0.0, "b": 0.0}) == {"a": 0.5, "b": 0.5}


@pytest.mark.parametrize("weights", [{}, {"a": 0.0}, {"a": 1.0, "b": math.nan}])
def test_no_weights(weights: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match="weights of a budget: came"):
        parts(weights)
    if not weights:
        with pytest.raises(ConfigError, match="no signal"):
            by_cost(weights)
