"""What policies are told of a champion, out of what monitoring found."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ml_tasks.config.metrics import sign
from ml_tasks.policies.evidence import Evidence, Measured, Page
from ml_tasks.result import Window
from ml_tasks.training import champion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.gates.verdict import Measured as Judged
    from ml_tasks.io.control import Control, Head
    from ml_tasks.io.watched import Alarm, Measure


def evidence(
    control: Control, environment: Environment, pipeline: Pipeline, head: Head, window: Window
) -> Evidence:
    """Gather what was found of a champion in windows up to this one.

    Raises:
        ConfigError: The champion's run does not say any more what it learned from.
    """
    learned = champion.learned(environment, head)
    since = learned.end.isoformat()
    return gathered(
        window,
        learned,
        pipeline.evaluation.metric,
        champion.judged(environment, head),
        [m for m in control.measures(pipeline.name, since=since) if m.version == head.version],
        control.alarms(pipeline.name, version=head.version),
    )


def gathered(
    window: Window,
    learned: Window,
    metric: str,
    judged: Judged,
    measures: Sequence[Measure],
    alarms: Sequence[Alarm],
) -> Evidence:
    """Put together what policies are told of a version.

    Args:
        window: The last one that was watched; what was found of later ones does not count.
        learned: What the version learned from.
        metric: Which metric counts.
        judged: What was measured of the version when it was judged.
        measures: Its metrics in the windows since, oldest first.
        alarms: Its alarms, oldest first.
    """
    end, then = window.end.isoformat(), judged.metrics[metric]
    found = [m for m in measures if m.metric == metric and m.end <= end]
    pages = [
        Page(_midnight(a.day), tuple(s["name"] for s in a.signals), a.loss)
        for a in alarms
        if a.paged and _midnight(a.day) < window.end
    ]
    return Evidence(
        window=window,
        learned_until=learned.end,
        metric=metric,
        sign=sign(metric),
        reference=Measured(learned, then.value, then.error, rows=0),
        realised=_series(found, "realised"),
        estimated=_series(found, "estimated"),
        pages=tuple(pages),
    )


def _series(found: Sequence[Measure], kind: str) -> tuple[Measured, ...]:
    return tuple(
        Measured(
            Window.parse(f"{m.start}/{m.end}"),
            m.value,
            math.inf if m.error is None else m.error,
            m.rows,
        )
        for m in found
        if m.kind == kind
    )


def _midnight(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)
