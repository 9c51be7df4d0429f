"""A candidate in the weeks after it: what it was worth, and what monitoring would have found."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_tasks import monitor, score
from ml_tasks.context import Context
from ml_tasks.io import folders, lookup, objects, parquet
from ml_tasks.io.lake import Lake
from ml_tasks.io.watched import Alarm, Look, Measure
from ml_tasks.models.predict import OnnxModel
from ml_tasks.monitoring import known
from ml_tasks.monitoring.reference import LABEL, PREDICTION, Reference
from ml_tasks.result import Window
from ml_tasks.training.metrics import measure
from perennial.backtesting import candidates, steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.policies.evidence import Evidence
    from perennial.backtesting.candidates import Candidate

BEHIND = timedelta(days=30)
"""Labels of so long before a window are read with it; more where they take longer to come."""


@dataclass(frozen=True, slots=True)
class Score:
    """What a candidate was worth in a window, by all labels that ever came."""

    value: float
    rows: int


@dataclass(slots=True)
class Followed:
    """What is known of a candidate after it, by the windows' ends, oldest first."""

    known: str = ""
    """Moment up to which labels count in the scores."""
    scores: dict[str, Score] = field(default_factory=dict)
    measures: dict[str, list[Measure]] = field(default_factory=dict)
    """By the window at whose end they were taken."""
    alarms: dict[str, list[Alarm]] = field(default_factory=dict)

    def evidence(self, candidate: Candidate, window: Window, metric: str) -> Evidence:
        """Give what policies are told at a window's end while the candidate is champion."""
        moments = [moment for moment in self.measures if moment <= _moment(window)]
        newest = {(one.kind, one.start): one for moment in moments for one in self.measures[moment]}
        return known.gathered(
            window,
            candidate.learned,
            metric,
            candidate.measured,
            [newest[at] for at in sorted(newest, key=lambda at: at[1])],
            sorted(
                (alarm for moment in moments for alarm in self.alarms[moment]),
                key=lambda alarm: (alarm.day, alarm.of),
            ),
        )


class Rows:
    """The history's rows, as the tasks of monitoring read them: each window once."""

    def __init__(self, environment: Environment, pipeline: Pipeline) -> None:
        """Read nothing yet; segments are left out, since policies know nothing of them."""
        self.whole = pipeline
        evaluation = pipeline.evaluation.model_copy(update={"segments": {}})
        self.pipeline = pipeline.model_copy(update={"evaluation": evaluation})
        self.environment = environment
        self._asked: dict[tuple[Window, tuple[str, ...]], pl.DataFrame] = {}
        self._labels: dict[tuple[Window, datetime], pl.DataFrame] = {}

    def asked(self, window: Window, names: tuple[str, ...]) -> pl.DataFrame:
        """Give what the task `score` publishes of a window, before a model has said anything."""
        if (window, names) not in self._asked:
            self._asked[window, names] = self._read(window, names)
        return self._asked[window, names]

    def labels(self, reach: Window, moment: datetime) -> pl.DataFrame:
        """Give the labels of a range of event time that are known at a moment."""
        if (reach, moment) not in self._labels:
            lake = Lake(self.environment)
            self._labels[reach, moment] = monitor.labels_in(lake, self.pipeline, reach, moment)
        return self._labels[reach, moment]

    def _read(self, window: Window, names: tuple[str, ...]) -> pl.DataFrame:
        import numpy as np
        import polars as pl

        config = self.pipeline.model_dump(mode="json")
        name = f"{window.slug}-{steps.key(config['features'], config['label'], names)}"
        uri = f"{self.environment.objects_root}/asked/{name}.parquet"
        if objects.exists(uri):
            return pl.DataFrame(pl.from_arrow(parquet.read(uri)))
        rows = score.questions(Lake(self.environment), self.pipeline, window)
        context = Context(
            task="score",
            pipeline=self.pipeline.name,
            run="backtest",
            attempt=1,
            environment=self.environment,
            window=window,
        )
        beside = lookup.beside(rows, self.pipeline, context, {}, names)
        made = score.answers(rows, beside, "", np.zeros(rows.height), self.pipeline)
        parquet.write(uri, made.to_arrow())
        return made


def find(
    environment: Environment,
    pipeline: Pipeline,
    candidate: Candidate,
    windows: Sequence[Window],
    until: datetime | None,
) -> Followed | None:
    """Give what was found of a candidate before, if that is all."""
    found = _File(environment, pipeline, candidate, windows).read()
    _all, watched = _after(candidate, windows, until)
    scored = found.known == _moment(windows[-1])
    return found if scored and len(found.measures) >= len(watched) else None


def follow(
    rows: Rows, candidate: Candidate, windows: Sequence[Window], until: datetime | None
) -> Followed:
    """Score the windows after a candidate, and watch it in those that end by a moment.

    What was found before is read; what is new is added to it.

    Args:
        rows: The history's.
        candidate: Who predicts.
        windows: The whole history.
        until: End of the last window in which it is watched; `None` for one that never serves.
    """
    file = _File(rows.environment, rows.whole, candidate, windows)
    found, looks = file.read(), file.looks()
    after, watched = _after(candidate, windows, until)
    eyes = _Eyes(rows, candidate, after)
    if found.known != _moment(windows[-1]):
        found.scores = {_moment(one): eyes.score(one, windows[-1].end) for one in after}
        found.known = _moment(windows[-1])
    if len(watched) > len(found.measures):
        uri = candidates.reference_of(rows.environment, rows.whole, candidate)
        with folders.unpacked(uri) as folder:
            reference = Reference.load(folder)
        for window in watched[len(found.measures) :]:
            measures, own, alarms = eyes.look(window, reference, looks)
            found.measures[_moment(window)], found.alarms[_moment(window)] = measures, alarms
            looks += own
    file.write(found, looks)
    return found


def _after(
    candidate: Candidate, windows: Sequence[Window], until: datetime | None
) -> tuple[list[Window], list[Window]]:
    """Give the windows in which a candidate is scored, and those in which it is watched."""
    after = [window for window in windows if window.start >= candidate.end]
    return after, [one for one in after if until is not None and one.end <= until]


@dataclass(slots=True)
class _Eyes:
    """Predicts windows with one candidate, and looks at them as the task `monitor` does."""

    rows: Rows
    candidate: Candidate
    after: Sequence[Window]
    model: OnnxModel = field(init=False)
    inputs: tuple[str, ...] = ()
    said: dict[Window, pl.DataFrame] = field(default_factory=dict)

    def __post_init__(self) -> None:
        stored = self.candidate.stored
        self.model = OnnxModel(objects.read_bytes(stored.graph), stored.spec)
        self.inputs = stored.inputs

    def predicted(self, window: Window) -> pl.DataFrame:
        """Give what the task `score` publishes of a window."""
        import polars as pl

        if window not in self.said:
            rows = self.rows.asked(window, self.inputs)
            self.said[window] = rows.with_columns(
                pl.lit(self.candidate.version).alias("version"),
                pl.Series(PREDICTION, self.model.predict(rows), pl.Float64),
            )
        return self.said[window]

    def score(self, window: Window, end: datetime) -> Score:
        """Measure a window by the labels that are known at the history's end."""
        pipeline = self.rows.pipeline
        labels = self.rows.labels(window, end)
        rows = monitor.with_labels(self.predicted(window), labels, pipeline).drop_nulls(LABEL)
        if not rows.height:
            return Score(math.nan, 0)
        true, said = (rows[name].cast(float).to_numpy() for name in (LABEL, PREDICTION))
        found = measure(pipeline.label.task, true, said)
        return Score(found[pipeline.evaluation.metric], rows.height)

    def look(
        self, window: Window, reference: Reference, before: Sequence[Look]
    ) -> tuple[list[Measure], list[Look], list[Alarm]]:
        """Give what the task `monitor` finds at a window's end, of the metric that counts."""
        import polars as pl

        pipeline = self.rows.pipeline
        waited = monitor.patience(pipeline, reference)
        start = max(self.candidate.end, window.start - waited)
        reach = [one for one in self.after if one.end > start and one.end <= window.end]
        made = pl.concat([self.predicted(one) for one in reach], how="vertical")
        made = made.filter(pl.col("event_time") >= start)
        since = Window(start=min(start, window.start - BEHIND), end=window.end)
        labels = self.rows.labels(since, window.end)
        seen = monitor.Seen(
            monitor.with_labels(made, labels, pipeline),
            labels,
            tuple(one for one in reach if one.start >= start),
        )
        measures, looks, alarms = monitor.found(
            seen, self.candidate.version, reference, pipeline, _moment(window), before
        )
        metric = pipeline.evaluation.metric
        return [m for m in measures if m.metric == metric], looks, alarms


class _File:
    """Where it is kept: scores, measures and alarms as JSON, looks as a table."""

    def __init__(
        self,
        environment: Environment,
        pipeline: Pipeline,
        candidate: Candidate,
        windows: Sequence[Window],
    ) -> None:
        monitoring = pipeline.monitoring
        told = (
            *(candidate.digest, str(windows[0]), pipeline.evaluation.metric),
            candidates.watching(environment, pipeline, candidate),
            *(monitoring.label_days, monitoring.alarms.least_loss),
            *(pipeline.evaluation.bootstrap_samples, pipeline.training.seed),
        )
        name = f"{candidate.version}-{steps.key(told)}"
        self._json = f"{environment.objects_root}/followed/{name}.json"
        self._looks = f"{environment.objects_root}/followed/{name}.parquet"

    def read(self) -> Followed:
        """Give what was found before."""
        if not objects.exists(self._json):
            return Followed()
        told: dict[str, Any] = json.loads(objects.read_text(self._json))
        return Followed(
            told["known"],
            {at: Score(**one) for at, one in told["scores"].items()},
            {at: [Measure(**m) for m in some] for at, some in told["measures"].items()},
            {at: [Alarm(**a) for a in some] for at, some in told["alarms"].items()},
        )

    def looks(self) -> list[Look]:
        """Give the looks that belong to it."""
        if not objects.exists(self._json) or not objects.exists(self._looks):
            return []
        known = json.loads(objects.read_text(self._json))["measures"]
        rows = parquet.read(self._looks).to_pylist()
        return [look for one in rows if (look := Look(**one)).run in known]

    def write(self, found: Followed, looks: Sequence[Look]) -> None:
        """Keep it; who is killed in between has looks too many, which `read` leaves out."""
        import polars as pl

        if looks:
            rows = pl.DataFrame([asdict(one) for one in looks], infer_schema_length=None)
            parquet.write(self._looks, rows.to_arrow())
        objects.write_text(self._json, json.dumps(asdict(found)))


def _moment(window: Window) -> str:
    return window.end.isoformat()
