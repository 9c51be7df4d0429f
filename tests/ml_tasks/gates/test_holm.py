from __future__ import annotations

import pytest

from ml_tasks.gates.holm import adjusted


@pytest.mark.parametrize(
    ("p_values", "wanted"),
    [
        ([], []),
        ([0.03], [0.03]),
        ([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02]),
        ([0.9, 0.8], [1.0, 1.0]),
        ([0.02, 0.02, 0.02], [0.06, 0.06, 0.06]),
        ([0.01, 0.0101, 1.0], [0.03, 0.03, 1.0]),
        ([0.0, 1.0], [0.0, 1.0]),
    ],
)
def test_holm(p_values: list[float], wanted: list[float]) -> None:
    assert adjusted(p_values) == pytest.approx(wanted)
