"""No segment may lie beyond a bound by more than chance."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import Field

from ml_tasks.config.numbers import Count, Real
from ml_tasks.gates.bounds import Bounds
from ml_tasks.gates.holm import adjusted
from ml_tasks.gates.verdict import Judgement

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_tasks.gates.verdict import Interval, Measured, Segment

TEST_DAYS = 2
"""With fewer days there is no spread between days to measure."""


class Params(Bounds):
    """Which metric, its bounds, which segments count, and how often a false alarm may come."""

    min_rows: Count = Field(gt=0, default=300)
    alpha: Real = Field(gt=0, lt=0.5, default=0.05)
    """Chance that a candidate is refused whose segments all keep to the bounds."""


@dataclass(frozen=True, slots=True)
class _Test:
    """One segment against one bound."""

    segment: str
    found: Interval
    beyond: float
    """By how much the value lies on the wrong side; negative on the right one."""
    p: float


def judge(measured: Measured, params: Params) -> Judgement:
    """Fail if a segment is significantly beyond a bound, by Holm's method over all that count.

    Of many segments that are all at the bound half lie beyond it by chance, so point estimates
    decide nothing. A segment with enough rows that was not measured does not pass; without any
    segment that has enough rows nothing was shown, which does not pass either.
    """
    gate = f"worst_segment {params.metric}"
    threshold = f"{params.threshold}, family-wise alpha {params.alpha}"
    counted = [s for s in measured.segments if s.rows >= params.min_rows]
    blank = [s.name for s in counted if not _was_measured(s, params.metric)]
    if blank or not counted:
        what = (
            f"{params.metric} and its spread over {TEST_DAYS} days or more were not measured on "
            f"{blank}"
            if blank
            else f"none of {len(measured.segments)} segments has {params.min_rows} rows"
        )
        return Judgement(gate=gate, passed=False, measured=None, threshold=threshold, evidence=what)
    tests = sorted(
        (test for segment in counted for test in _tests(segment, params)),
        key=lambda test: (test.p, -test.beyond, test.segment),
    )
    chances = adjusted([test.p for test in tests])
    worst, fallen = tests[0], sum(p <= params.alpha for p in chances)
    found = worst.found
    return Judgement(
        gate=gate,
        passed=fallen == 0,
        measured=found.value,
        threshold=threshold,
        interval=(found.low, found.high),
        evidence=(
            f"worst of {len(counted)} segments is {worst.segment} with {found.value:.4f} "
            f"[{found.low:.4f}, {found.high:.4f}], adjusted p {chances[0]:.2g}; "
            f"significantly beyond: {fallen}"
        ),
    )


def p_value(found: Interval, days: float, beyond: float) -> float:
    """Give the chance of a value at least so far beyond a bound where the truth lies at it.

    Student's t on the bootstrap's standard error, with a degree of freedom less than there are
    days. The share of replicates beyond the bound cannot be taken: of 500 it is never below
    1/501, which is more than alpha over 40 segments. Nor can the normal distribution: over 40
    segments that were all at the bound it gave an alarm 15 times in 100 where segments had 14
    days and 40 times where they had 7, with alpha at 0.05; Student's t did so 2 to 7 times.

    Args:
        found: The segment's metric.
        days: The segment's effective number of days.
        beyond: By how much the value lies on the wrong side of the bound.
    """
    from scipy.special import stdtr

    # Between few days the bootstrap's variance is too small by the factor of a plug-in variance.
    error = found.error * math.sqrt(days / (days - 1))
    if error == 0:
        return 0.0 if beyond > 0 else 1.0
    return float(stdtr(days - 1, -beyond / error))


def _tests(segment: Segment, params: Params) -> Iterator[_Test]:
    found = segment.metrics[params.metric]
    # Calibration error is never negative: noise alone raises it, and by more in a small segment.
    value = found.value - found.bias
    for bound, sign in ((params.minimum, 1), (params.maximum, -1)):
        if bound is not None:
            beyond = sign * (bound - value)
            yield _Test(segment.name, found, beyond, p_value(found, segment.days, beyond))


def _was_measured(segment: Segment, metric: str) -> bool:
    found = segment.metrics.get(metric)
    return (
        found is not None
        and segment.days >= TEST_DAYS
        and all(map(math.isfinite, (found.value, found.error, found.bias)))
    )
