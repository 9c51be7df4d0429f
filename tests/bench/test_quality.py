from __future__ import annotations

from typing import Any

import pytest

from bench.quality import MARKS, PAGE, Row, broken, written

GOOD = {"roc_auc": 0.79, "log_loss": 0.45, "ece": 0.01}
PASSED = {"gate": "floor", "passed": True, "evidence": "0.79"}


def row(*, ours: bool = True, part: str = "test", **metrics: float) -> Row:
    return Row("mlp" if ours else "LightGBM", part, "those months", GOOD | metrics, 1.0, ours)


@pytest.mark.parametrize(
    ("rows", "gate", "said"),
    [
        ([row(), row(ours=False, part="validation", log_loss=0.6, ece=0.1)], {}, []),
        ([row(roc_auc=0.7789)], {}, ["mlp, those months: roc_auc 0.7789, wanted 0.779 to 0.85"]),
        ([row(log_loss=0.4571)], {}, ["mlp, those months: log_loss 0.4571, wanted 0.0 to 0.457"]),
        ([row(ece=float("nan"))], {}, ["mlp, those months: ece nan, wanted 0.0 to 0.02"]),
        (
            [row(), row(ours=False, part="validation", roc_auc=0.86)],
            {},
            ["LightGBM, those months: roc_auc 0.8600, wanted 0.779 to 0.85"],
        ),
        ([row()], {"passed": False}, ["gate floor does not pass: 0.79"]),
    ],
)
def test_a_broken_bound_is_named(rows: list[Row], gate: dict[str, Any], said: list[str]) -> None:
    assert broken(rows, [PASSED | gate]) == said


def test_the_page_keeps_what_is_not_between_its_marks() -> None:
    page = written(PAGE.read_text(), "| new |")
    begins, ends = MARKS
    assert f"{begins}\n\n| new |\n\n{ends}" in page
    assert page.startswith("# Model quality")
    assert "What helped" in page
    with pytest.raises(ValueError, match="the page lacks a line"):
        written("# Model quality", "| new |")
