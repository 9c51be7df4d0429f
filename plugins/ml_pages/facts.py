"""What control knows of pipelines: the rows that pages are made of, in a few queries."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

from ml_pages import heat, performance
from ml_tasks.io.audit import MOVES

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from ml_pages.performance import Seen
    from ml_tasks.config import Pipeline
    from ml_tasks.io.control import AuditEntry, Control, Cost, Head, LedgerLine, Trigger
    from ml_tasks.io.watched import Alarm, Measure, Share
    from ml_tasks.io.windows import Ingested

Row = TypeVar("Row", "Alarm", "AuditEntry", "Cost", "Measure", "Trigger")
NUM_GLANCED = 26
"""Windows of a pipeline's trend among all pipelines."""
NUM_WINDOWS = 104
"""Windows of a pipeline's own page: two years of weeks."""
NUM_TRAININGS = 12
"""Trainings whose verdicts are shown."""
RECENT = timedelta(days=28)
"""How long a failed run is told of."""
BROKEN = ("failed", "killed")


@dataclass(frozen=True, slots=True)
class Failed:
    """A run that ended without its last task."""

    run: str
    task: str
    state: str
    at: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Facts:
    """What is known of one pipeline at a moment; all lists are oldest first."""

    pipeline: Pipeline
    now: datetime
    head: Head | None
    windows: Sequence[Ingested]
    measures: Sequence[Measure]
    """One metric by window, realised and estimated."""
    alarms: Sequence[Alarm]
    triggers: Sequence[Trigger]
    costs: Sequence[Cost]
    audit: Sequence[AuditEntry] = ()
    furthest: Mapping[str, float] = field(default_factory=dict)
    """By signal, how far the champion's was of late on the way to an alarm."""
    shares: Sequence[Share] = ()
    """Of the signals that are shown."""
    ledger: Mapping[str, LedgerLine] = field(default_factory=dict)
    """By trigger."""
    parts: Sequence[Measure] = ()
    """All metrics and segments since the newest window in which truth is known."""

    @property
    def seen(self) -> list[Seen]:
        """Give the windows that were watched, by the metric that the product is judged by."""
        return performance.windows(self.measures, performance.champions(self.measures))

    @property
    def runs(self) -> dict[str, str]:
        """Give the run that made each version that was ever champion."""
        return {e.detail["version"]: e.detail["run"] for e in self.audit if e.action in MOVES}

    @property
    def unseen(self) -> str:
        """Give the champion's version where it has not seen a window yet."""
        watched = {measure.version for measure in self.measures}
        return "" if self.head is None or self.head.version in watched else self.head.version

    @property
    def failed(self) -> list[Failed]:
        """Give the runs that failed of late."""
        since = _iso(self.now - RECENT)
        return _failed(cost for cost in self.costs if cost.at >= since)


def of_all(control: Control, pipelines: Sequence[Pipeline], now: datetime) -> list[Facts]:
    """Give what is known of pipelines, in as many queries for a hundred as for one."""
    metrics = {one.name: one.evaluation.metric for one in pipelines}
    heads, windows = control.champions(), control.newest_windows(NUM_GLANCED)
    measures = _by_pipeline(control.newest_measures(metrics, NUM_GLANCED))
    alarms, triggers = _by_pipeline(control.alarms()), _by_pipeline(control.triggers())
    costs = _by_pipeline(control.costs(since=_iso(now - RECENT)))
    audit = _by_pipeline(control.audit())
    return [
        Facts(
            pipeline=one,
            now=now,
            head=heads.get(one.name),
            windows=windows.get(one.name, []),
            measures=measures[one.name],
            alarms=alarms[one.name],
            triggers=triggers[one.name],
            costs=costs[one.name],
            audit=audit[one.name],
        )
        for one in pipelines
    ]


def of_one(control: Control, pipeline: Pipeline, now: datetime) -> Facts:
    """Give what is known of a pipeline in its newest windows."""
    name = pipeline.name
    windows = control.windows(name)[-NUM_WINDOWS:]
    since = windows[0].start if windows else ""
    measures = control.measures(name, since=since, metric=pipeline.evaluation.metric)
    realised = [m.start for m in measures if m.kind == "realised"]
    last = max(realised or [m.start for m in measures], default=None)
    head, triggers = control.champion(name), control.triggers(name)
    alarms = [alarm for alarm in control.alarms(name) if alarm.day >= since[:10]]
    furthest = _furthest(control, name, measures)
    return Facts(
        pipeline=pipeline,
        now=now,
        head=head,
        windows=windows,
        measures=measures,
        alarms=alarms,
        triggers=triggers,
        costs=control.costs(pipeline=name, since=_iso(now - RECENT)),
        audit=control.audit(name),
        furthest=furthest,
        shares=control.shares(name, heat.chosen(furthest, alarms), since=since[:10]),
        ledger={one.trigger: one for one in control.ledger(name)},
        parts=[] if last is None else control.measures(name, since=last, segments=True),
    )


def _furthest(control: Control, name: str, measures: Sequence[Measure]) -> dict[str, float]:
    """Give how far each signal of the version that was watched last was of late."""
    seen = performance.windows(measures, performance.champions(measures))[-heat.LATE :]
    return control.furthest(name, seen[-1].version, since=seen[0].start[:10]) if seen else {}


def _failed(costs: Iterable[Cost]) -> list[Failed]:
    """Give the runs in which a task's last attempt did not end well, with the first such task."""
    last: dict[tuple[str, str], Cost] = {}
    for cost in costs:
        known = last.get((cost.run, cost.task))
        if known is None or cost.attempt > known.attempt:
            last[cost.run, cost.task] = cost
    found: dict[str, Failed] = {}
    for cost in last.values():
        if cost.state in BROKEN:
            found.setdefault(cost.run, Failed(cost.run, cost.task, cost.state, cost.at))
    return sorted(found.values(), key=lambda one: one.at)


def _by_pipeline(found: Iterable[Row]) -> Mapping[str, list[Row]]:
    own: dict[str, list[Row]] = defaultdict(list)
    for one in found:
        own[one.pipeline].append(one)
    return own


def _iso(at: datetime) -> str:
    """Give a moment in the form in which control keeps them."""
    return at.isoformat(timespec="microseconds")[:-6] + "Z"
