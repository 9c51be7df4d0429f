"""The judgement that gates on paired differences share."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from ml_tasks.gates.verdict import Judgement

if TYPE_CHECKING:
    from ml_tasks.gates.verdict import Interval


def above_zero(gate: str, rival: str, metric: str, difference: Interval | None) -> Judgement:
    """Pass if the lower bound of the paired 95 % interval lies above 0."""
    threshold = "lower bound > 0"
    if difference is None or not math.isfinite(difference.low):
        return Judgement(
            gate=gate,
            passed=False,
            measured=None,
            threshold=threshold,
            evidence=(
                f"{metric} was not compared with {rival}"
                if difference is None or not math.isfinite(difference.value)
                else f"{metric} differs from {rival} by {difference.value:+.4f}; how far that is "
                "chance cannot be told: wanted test rows of two days at least"
            ),
        )
    return Judgement(
        gate=gate,
        passed=difference.low > 0,
        measured=difference.value,
        threshold=threshold,
        interval=(difference.low, difference.high),
        evidence=(
            f"{metric} is better than {rival} by {difference.value:+.4f} "
            f"[{difference.low:+.4f}, {difference.high:+.4f}]"
        ),
    )
