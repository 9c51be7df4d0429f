"""How well the champion did on parts of the rows, all on one scale."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_pages import charts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_pages.judged import Bounds, Judged
    from ml_tasks.io.watched import Measure


@dataclass(frozen=True, slots=True)
class Part:
    """A segment in the newest window in which truth is known; places are per cent."""

    measure: Measure
    reference: Bounds | None
    low: float
    high: float
    at: float
    judged_at: float | None


def parts(
    measures: Sequence[Measure],
    metric: str,
    champion: Mapping[str, str],
    known: Mapping[str, Judged],
) -> list[Part]:
    """Lay segments out, each beside what it was when its version was judged.

    Args:
        measures: Of all metrics, segments and versions, of the newest windows.
        metric: Which one is shown.
        champion: By window.
        known: By version, what its training came to.
    """
    truth = [m for m in measures if m.kind == "realised" and m.metric == metric]
    newest = min((m.start for m in truth), default="")
    version = champion.get(newest, "")
    own = [m for m in truth if m.start == newest]
    by_segment = {m.segment: m for m in sorted(own, key=lambda m: (m.version == version, m.rows))}
    told = {
        segment: known[m.version].reference(metric, segment) if m.version in known else None
        for segment, m in by_segment.items()
    }
    values = [*(m.value for m in own), *(r.value for r in told.values() if r is not None)]
    scale = charts.domain(values, [b for m in own for b in (m.low, m.high) if b is not None])

    def at(value: float) -> float:
        share = (value - scale.low) / (scale.high - scale.low)
        return round(100 * min(max(share, 0.0), 1.0), 2)

    found = []
    for segment, measure in sorted(by_segment.items()):
        reference, value = told[segment], measure.value
        low = value if measure.low is None else measure.low
        high = value if measure.high is None else measure.high
        judged = None if reference is None else at(reference.value)
        found.append(Part(measure, reference, at(low), at(high), at(value), judged))
    return found
