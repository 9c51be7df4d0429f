"""How many days each gate needs to be tested on."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from ml_tasks import evaluate
from ml_tasks.config import Evaluation, Gate
from ml_tasks.gates import GATES, judge
from ml_tasks.gates.verdict import Leaks

A_DAY = 400
ASKED: dict[str, dict[str, Any]] = {
    "floor": {"metric": "roc_auc", "minimum": 0.7},
    "no_leak": {},
    "beats_baseline": {"metric": "roc_auc", "baseline": "b"},
    "beats_champion": {"metric": "roc_auc"},
    "worst_segment": {"metric": "roc_auc", "minimum": 0.7},
}


@pytest.mark.parametrize("name", GATES)
def test_a_good_candidate_passes_from_so_many_days_on(name: str) -> None:
    """With one fewer it does not: `config check` refuses the product."""
    gate, enough = Gate(name=name, params=ASKED[name]), GATES[name].TEST_DAYS
    passed = [judge(gate, _measured(days, gate)).passed for days in range(1, enough + 1)]
    assert passed == [False] * (enough - 1) + [True]


def _measured(days: int, gate: Gate) -> Any:
    """A candidate that is right in most rows, beside a champion and a baseline by chance."""
    draw = np.random.default_rng(1)
    y = draw.integers(0, 2, days * A_DAY).astype(float)
    right = np.clip(y * 0.6 + draw.random(y.size) * 0.4, 0, 1)
    test = evaluate.Test(
        "classification", y, np.repeat(np.arange(days), A_DAY), {"all": np.full(y.size, "x")}
    )
    made = evaluate.compare(
        test,
        {"candidate": right, "champion": draw.random(y.size), "b": draw.random(y.size)},
        candidate="h",
        champion="1",
        evaluation=Evaluation(metric="roc_auc", gates=(gate,)),
        seed=1,
    )
    proof = Leaks(
        set_hash="s", rows=1, cells=1, leaks=(), strength={"x": 0.5}, coincidence={"x": 0.0}
    )
    return made.model_copy(update={"leaks": proof})
