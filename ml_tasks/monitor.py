"""Measures what is known of the truth, and how far each day lies from what the champion knows."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from ml_tasks.errors import NothingToDo
from ml_tasks.io import distributions, folders, predictions
from ml_tasks.io.champions import succession
from ml_tasks.io.control import Control
from ml_tasks.io.labels import labelled
from ml_tasks.io.lake import Lake
from ml_tasks.monitoring import trial
from ml_tasks.monitoring.days import Days
from ml_tasks.monitoring.grading import Grading
from ml_tasks.monitoring.measured import Measuring
from ml_tasks.monitoring.reference import LABEL, Reference
from ml_tasks.result import Window
from ml_tasks.sources.raw import labels_source
from ml_tasks.training import champion

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    import polars as pl

    from ml_tasks.config import Pipeline
    from ml_tasks.context import Context
    from ml_tasks.io.control import Head, Lease
    from ml_tasks.io.watched import Alarm, Grade, Look, Measure
    from ml_tasks.result import Output, Result

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Seen:
    """What the champion predicted of late, and what came true."""

    rows: pl.DataFrame
    """All predictions in reach, with what was taken in; `label` is null where it is not known."""
    labels: pl.DataFrame
    windows: tuple[Window, ...]
    """Those in reach, oldest first; the last one is the run's own."""

    @property
    def end(self) -> Window:
        """The window that is watched now."""
        return self.windows[-1]

    def own(self, version: str, window: Window | None = None) -> pl.DataFrame:
        """Give a version's predictions, in all windows or in one."""
        import polars as pl

        own = self.rows.filter(pl.col("version") == version)
        if window is None:
            return own
        return own.filter(pl.col("event_time").is_between(window.start, window.end, closed="left"))


def run(pipeline: Pipeline, context: Context) -> Result:
    """Write metrics of the windows whose labels may have come, and looks and alarms of the days.

    Nothing that became known after the window's end counts, so that the same window again, at any
    later time, finds the same.

    Raises:
        NothingToDo: There is no champion, it learned from the window or predicted nothing in it.
        ConfigError: The champion was registered without what it is watched with.
    """
    control = Control(context.environment.control)
    control.migrate()
    window = context.required_window()
    head = champion.unlearned(context.environment, control.champion(pipeline.name), window)
    with folders.unpacked(champion.reference(context.environment, head)) as folder:
        reference = Reference.load(folder)
    seen = _seen(pipeline, context, control, head, patience(pipeline, reference))
    with control.lease_for(context, f"watched {pipeline.name}", wait=120) as lease:
        before = control.looks(pipeline.name, version=head.version)
        measures, looks, alarms = found(
            seen, head.version, reference, pipeline, context.run, before
        )
        grades = _grades(seen, pipeline, context, control)
        known = control.alarms(pipeline.name, version=head.version)
        paged = {(alarm.day, alarm.of) for alarm in known if alarm.paged}
        output = _spread(seen, head, reference, context, lease)
        control.watch(pipeline.name, [*measures, *looks, *alarms, *grades], lease)
    own = [look for look in looks if look.run == context.run]
    # Of days after them it says what nobody has paged for.
    news = [a for a in alarms if a.run == context.run or (a.day, a.of) not in paged]
    return context.result(
        outputs={"distributions": output},
        values=_said(pipeline, head, measures, own, news),
    )


def patience(pipeline: Pipeline, reference: Reference) -> timedelta:
    """Give how long before a window those lie whose labels are waited for."""
    return max(
        timedelta(days=pipeline.monitoring.label_days),
        timedelta(days=1, seconds=reference.about.label_seconds),
    )


def labels_in(
    lake: Lake, pipeline: Pipeline, reach: Window, moment: datetime | None = None
) -> pl.DataFrame:
    """Give the labels of a range of event time that are known at its end, or at a moment."""
    found = labelled(labels_source(lake, pipeline, reach), pipeline, moment or reach.end)
    key = pipeline.sources[pipeline.label.source].key
    return found.select(*key, LABEL, "label_known_at")


def with_labels(made: pl.DataFrame, labels: pl.DataFrame, pipeline: Pipeline) -> pl.DataFrame:
    """Give predictions with `label`, null where it is not known."""
    key = list(pipeline.sources[pipeline.label.source].key)
    return made.join(labels, on=key, how="left", nulls_equal=True, maintain_order="left")


def _seen(
    pipeline: Pipeline, context: Context, control: Control, head: Head, waited: timedelta
) -> Seen:
    """Read what was predicted in the windows whose labels may still come, up to this one."""
    window, lake = context.required_window(), Lake(context.environment)
    # Whoever was champion before has its labels still to come, too.
    reach = Window(start=window.start - waited, end=window.end)
    made = predictions.read(lake, pipeline.name, reach)
    labels = labels_in(lake, pipeline, reach)
    known = (Window.parse(f"{w.start}/{w.end}") for w in control.windows(pipeline.name))
    windows = tuple(w for w in known if reach.start <= w.start and w.end < reach.end)
    for predicted in made:
        rows = with_labels(predicted, labels, pipeline)
        seen = Seen(rows, labels, (*windows, window))
        if seen.own(head.version, window).height:
            return seen
    raise NothingToDo(f"{window}: champion {head.version} predicted nothing in it")


def found(
    seen: Seen,
    version: str,
    reference: Reference,
    pipeline: Pipeline,
    run: str,
    before: Sequence[Look],
) -> tuple[list[Measure], list[Look], list[Alarm]]:
    """Measure the windows in reach, and look at the version's days.

    Args:
        seen: What was predicted of late, and what came true.
        version: The champion's.
        reference: What its days are held against.
        pipeline: Says what is measured.
        run: Who looks.
        before: Looks that were taken at the version's days.
    """
    how, now = Measuring(pipeline, run), seen.end
    realised = [
        measure
        for window in seen.windows
        for measure in how.realised(window, seen.rows, seen.labels, now.end)
    ]
    own = seen.own(version, now)
    measures = [*realised, *how.estimated(now, version, own, reference)]
    days = Days(pipeline.name, version, run, reference)
    inputs, truth = days.inputs(own, before), days.truth(seen.own(version), before, now.end)
    looks, floor = [*before, *inputs, *truth], pipeline.monitoring.alarms.least_loss
    known, moved = days.followed("inputs", looks, floor)
    true, came = days.followed("truth", looks, floor)
    return measures, [*known, *true], [*moved, *came]


def _grades(seen: Seen, pipeline: Pipeline, context: Context, control: Control) -> list[Grade]:
    """Measure what the newest promotion has won, while labels of its trial may still come."""
    newest = succession(control.audit(pipeline.name))
    own = trial.windows(control, pipeline, newest, seen.end) if newest is not None else ()
    if newest is None or not own or own[-1] not in seen.windows:
        return []
    grading = Grading(pipeline, newest.new.version, newest.before.version, context.run)
    if own[0] in seen.windows:
        return grading.grades(seen.rows, own, seen.end)
    lake = Lake(context.environment)
    labels = labels_in(lake, pipeline, Window(start=own[0].start, end=seen.end.end))
    reach = Window(start=own[0].start, end=own[-1].end)
    return [
        grade
        for predicted in predictions.read(lake, pipeline.name, reach)
        for grade in grading.grades(with_labels(predicted, labels, pipeline), own, seen.end)
    ]


def _spread(seen: Seen, head: Head, reference: Reference, context: Context, lease: Lease) -> Output:
    """Publish how inputs and predictions of the window's days were spread."""
    lake, window = Lake(context.environment), seen.end
    before = distributions.read(lake, context.pipeline, window)
    made = reference.bins.spread(seen.own(head.version, window), head.version, window)
    return lake.publish(
        distributions.table(context.pipeline),
        distributions.together(before, made).to_arrow(),
        window,
        lease,
        properties={"run": context.run},
    )


def _said(
    pipeline: Pipeline,
    head: Head,
    measures: Sequence[Measure],
    looks: Sequence[Look],
    alarms: Sequence[Alarm],
) -> dict[str, Any]:
    metric = pipeline.evaluation.metric
    now = max(m.start for m in measures) if measures else ""
    found: dict[str, Any] = {
        m.kind: round(m.value, 6)
        for m in measures
        if (m.version, m.start, m.metric, m.segment) == (head.version, now, metric, "")
    }
    for alarm in alarms:
        names = ", ".join(str(signal["name"]) for signal in alarm.signals[:3])
        log.warning("%s: %s moved, level %.2f", alarm.day, names, alarm.level)
    log.info("version %s: %s %s", head.version, metric, found)
    return {
        "version": head.version,
        "metric": metric,
        **found,
        "looks": len({look.day for look in looks}),
        "alarms": [alarm.day for alarm in alarms if alarm.paged],
    }
