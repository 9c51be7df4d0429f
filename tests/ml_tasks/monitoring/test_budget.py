from __future__ import annotations

import math

import pytest

from ml_tasks.errors import ConfigError
from ml_tasks.monitoring.budget import Budget, by_cost


def test_threshold_is_looks_for_a_false_page_over_the_part() -> None:
    assert Budget(false_pages=1, days=91).threshold(1.0) == 91
    assert Budget(false_pages=2, days=91).threshold(0.5) == 91
    assert Budget().threshold(0.01) == pytest.approx(9_100)
    assert Budget().threshold(1.0, looks_a_day=24) == 91 * 24


@pytest.mark.parametrize("wrong", [{"false_pages": 0.0}, {"days": -1.0}, {"days": math.inf}])
def test_no_budget(wrong: dict[str, float]) -> None:
    with pytest.raises(ConfigError, match=f"budget {next(iter(wrong))}: came"):
        Budget(**wrong)


def test_weights_by_cost() -> None:
    assert by_cost({"a": 0.03, "b": 0.01, "c": -0.5}, even=0.3) == pytest.approx(
        {"a": 0.1 + 0.7 * 0.75, "b": 0.1 + 0.7 * 0.25, "c": 0.1}
    )
    assert by_cost({"a": 0.0, "b": 0.0}) == {"a": 0.5, "b": 0.5}


def test_no_weights() -> None:
    with pytest.raises(ConfigError, match="no signal"):
        by_cost({})
