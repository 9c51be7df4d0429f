"""All that a pipeline's own page shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_pages import facts, glance, heat, judged, performance, segments
from ml_pages.arrivals import arrived
from ml_tasks.errors import ConfigError
from ml_tasks.io.audit import MOVES

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ml_pages.arrivals import Arrived
    from ml_pages.facts import Facts
    from ml_pages.glance import Glance
    from ml_pages.heat import Heat
    from ml_pages.judged import Judged
    from ml_pages.performance import Chart, Seen
    from ml_pages.segments import Part
    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.io.control import AuditEntry, Control, LedgerLine, Trigger
    from ml_tasks.io.watched import Alarm, Measure


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """A run of the training flow, and what came of it."""

    trigger: Trigger
    judged: Judged
    moves: tuple[AuditEntry, ...]
    """When its version became champion, by promotion or rollback."""
    champion: bool
    line: LedgerLine
    """What it was expected to win, has won, and cost."""

    @property
    def version(self) -> str | None:
        """Give its version, which the log of champions knows where the run's objects are gone."""
        return self.judged.version or next((e.detail["version"] for e in self.moves), None)


@dataclass(frozen=True, kw_only=True, slots=True)
class Detail:
    """One pipeline."""

    glance: Glance
    metric: str
    metrics: tuple[str, ...]
    segment: str
    segments: tuple[str, ...]
    seen: tuple[Seen, ...]
    chart: Chart | None
    parts: tuple[Part, ...]
    heat: Heat | None
    alarms: tuple[Alarm, ...]
    trainings: tuple[TrainingRun, ...]
    triggers: tuple[Trigger, ...]
    arrived: tuple[Arrived, ...]


def detail(
    control: Control,
    environment: Environment,
    pipeline: Pipeline,
    now: datetime,
    *,
    metric: str = "",
    segment: str = "",
) -> Detail:
    """Gather a pipeline's page.

    Args:
        control: Knows what happened.
        environment: Where objects are.
        pipeline: Which.
        now: The present moment.
        metric: Which one is drawn; the one that it is judged by when empty.
        segment: Of which part of the rows; of all when empty.

    Raises:
        ConfigError: Metric or segment was not measured; names those that were.
    """
    own = facts.of_one(control, pipeline, now)
    metrics, parts = _choices(own)
    chosen = metric or pipeline.evaluation.metric
    _known("metric", chosen, [*metrics, pipeline.evaluation.metric])
    _known("segment", segment, ["", *parts])
    measures = _measures(control, own, chosen, segment)
    champion = performance.champions(own.measures)
    seen = performance.windows(measures, champion)
    runs = own.runs
    in_chart = {runs.get(version) for version in (own.unseen, *(one.version for one in seen))}
    started = [t for t in own.triggers if t.run is not None]
    shown = started[-facts.NUM_TRAININGS :]
    read = judged.all_of(environment, [t for t in started if t in shown or t.run in in_chart])
    known = {version: read[run] for version, run in runs.items() if run in read}
    references = {version: one.reference(chosen, segment) for version, one in known.items()}
    return Detail(
        glance=glance.glance(own, environment),
        metric=chosen,
        metrics=metrics,
        segment=segment,
        segments=parts,
        seen=tuple(seen),
        chart=performance.chart(seen, references, own.audit, own.unseen),
        parts=tuple(segments.parts(own.parts, chosen, champion, known)),
        heat=heat.heat(own.shares, own.alarms, own.windows, len(own.furthest)),
        alarms=tuple(reversed(own.alarms)),
        trainings=tuple(
            _training(own, t, read[t.run or ""], own.ledger[t.id]) for t in reversed(shown)
        ),
        triggers=tuple(reversed(own.triggers)),
        arrived=tuple(arrived(environment, pipeline.name, own.windows, own.seen)),
    )


def _choices(own: Facts) -> tuple[tuple[str, ...], tuple[str, ...]]:
    metrics = sorted({m.metric for m in own.parts if not m.segment})
    segments = sorted({m.segment for m in own.parts if m.segment})
    return tuple(metrics), tuple(segments)


def _measures(control: Control, own: Facts, metric: str, segment: str) -> Sequence[Measure]:
    if (metric, segment) == (own.pipeline.evaluation.metric, ""):
        return own.measures
    since = own.windows[0].start if own.windows else ""
    return control.measures(own.pipeline.name, since=since, metric=metric, segment=segment)


def _known(what: str, came: str, wanted: Sequence[str]) -> None:
    if came not in wanted:
        named = ", ".join(sorted({name for name in wanted if name}))
        raise ConfigError(f"{what}: came {came!r}, wanted one of those measured: {named or 'none'}")


def _training(own: Facts, trigger: Trigger, found: Judged, line: LedgerLine) -> TrainingRun:
    moves = [e for e in own.audit if e.action in MOVES and e.detail["run"] == trigger.run]
    return TrainingRun(
        trigger=trigger,
        judged=found,
        moves=tuple(moves),
        champion=own.head is not None and own.head.run == trigger.run,
        line=line,
    )
