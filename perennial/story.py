"""What happened in a product's weeks: read back from control and from what tasks left."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from dataclasses import asdict, dataclass, fields
from datetime import timedelta
from typing import TYPE_CHECKING, Any, TypeVar

from ml_tasks.io import runs
from ml_tasks.io.audit import MOVES
from ml_tasks.io.control import Control
from perennial.difference import OF_THE_RUN
from perennial.weeks import asked

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.io.control import Trigger
    from ml_tasks.io.ledger import LedgerLine
    from ml_tasks.io.watched import Alarm, Look, Measure
    from ml_tasks.result import Result, Window

One = TypeVar("One")
TOLD_ONLY = ("cpu_seconds", "outcome", "run")
"""Of a training: what differs from home to home, and words about what the hashes say."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AskedTraining:
    """What was asked for, and what became of it."""

    trigger: str
    cause: str
    policies: tuple[str, ...]
    why: str
    predicted_gain: float | None
    """Of the metric, by the policy that asked."""
    realised_gain: float | None
    """Of the metric, beside the champion before it, on rows that both predicted."""
    paid: str
    """What the ledger says of it."""
    outputs: dict[str, str]
    """Content hash of all that its tasks made: set, weights, graph, reference, verdict."""
    gates: dict[str, bool]
    """Each gate as the verdict has it: its name with what was wanted, and whether it passed."""
    failed: tuple[str, ...]
    """Gates that did not pass: name, what came, what was wanted."""
    metric: float | None
    """The candidate's, on its own test range."""
    version: str | None
    """The version that became champion; `None` where none did."""
    before: str | None
    """The champion that it was judged against."""
    outcome: str
    run: str
    cpu_seconds: float


@dataclass(frozen=True, kw_only=True, slots=True)
class WatchedWeek:
    """What was found of the champion in a week."""

    version: str
    predictions: str
    """Content hash."""
    measures: tuple[tuple[str, str, float, int], ...]
    """Version, kind, value and rows of the product's metric."""
    looks: str
    """Hash of all signals of its days."""
    alarms: tuple[dict[str, Any], ...]
    train: bool
    why: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Week:
    """One window."""

    window: str
    outputs: dict[str, str]
    """Content hash of what came in, and of the features."""
    watched: WatchedWeek | None
    trainings: tuple[AskedTraining, ...]

    @property
    def hash(self) -> str:
        """What the week is known by: all but runs, costs and words about them."""
        told = asdict(self)
        for training in told["trainings"]:
            for name in TOLD_ONLY:
                del training[name]
        return _hash(told)


@dataclass(frozen=True, kw_only=True, slots=True)
class Story:
    """All weeks, oldest first."""

    pipeline: str
    metric: str
    weeks: tuple[Week, ...]
    champions: tuple[tuple[str, str], ...]
    """Each change of the champion, by `promote` or `rollback`, and the version that it is since."""
    cpu_seconds: dict[str, float]
    """By task."""

    @property
    def trainings(self) -> tuple[AskedTraining, ...]:
        """All that was asked for, oldest first."""
        return tuple(one for week in self.weeks for one in week.trainings)

    @property
    def hash(self) -> str:
        """One hash of all weeks, and of who was champion in turn."""
        weeks = [week.hash for week in self.weeks]
        return _hash([self.pipeline, self.metric, weeks, self.champions])


@dataclass(frozen=True, slots=True)
class _Found:
    """What control holds of some weeks."""

    ingested: Mapping[str, str]
    """By start: the run that brought it in."""
    measures: Mapping[str, list[Measure]]
    """By start of the window."""
    looks: Mapping[str, list[Look]]
    """By day; so are alarms."""
    alarms: Mapping[str, list[Alarm]]
    ledger: Mapping[str, LedgerLine]
    """By trigger."""


class Reader:
    """Reads a product's weeks, whoever ran their tasks."""

    def __init__(self, environment: Environment, pipeline: Pipeline) -> None:
        """Remember where they are."""
        self._environment, self._pipeline = environment, pipeline
        self._control = Control(environment.control)

    def story(self, weeks: Sequence[Window]) -> Story:
        """Give what happened in some weeks."""
        name, control = self._pipeline.name, self._control
        spent: dict[str, float] = defaultdict(float)
        for cost in control.costs(pipeline=name):
            spent[cost.task] += cost.cpu_seconds
        found = self._found(weeks[0])
        return Story(
            pipeline=name,
            metric=self._pipeline.evaluation.metric,
            weeks=tuple(self._week(week, found) for week in weeks),
            champions=tuple(
                (e.action, str(e.detail["version"]))
                for e in control.audit(name)
                if e.action in MOVES
            ),
            cpu_seconds=dict(spent),
        )

    def week(self, week: Window) -> Week:
        """Give what happened in a week, as far as it is known now."""
        return self._week(week, self._found(week))

    def _found(self, first: Window) -> _Found:
        name, control, start = self._pipeline.name, self._control, first.start
        metric = self._pipeline.evaluation.metric
        return _Found(
            ingested={one.start: one.run for one in control.windows(name)},
            measures=_by(
                (one.start, one)
                for one in control.measures(name, since=start.isoformat(), metric=metric)
            ),
            looks=_by((one.day, one) for one in control.looks(name, since=f"{start:%Y-%m-%d}")),
            alarms=_by((one.day, one) for one in control.alarms(name)),
            ledger={one.trigger: one for one in control.ledger(name)},
        )

    def _week(self, week: Window, found: _Found) -> Week:
        results = self._results(found.ingested.get(week.start.isoformat(), ""))
        return Week(
            window=str(week),
            outputs=_outputs(results),
            watched=self._watched(week, found),
            trainings=tuple(
                self._training(one, found.ledger[one.id])
                for one in asked(self._control, self._pipeline, week)
            ),
        )

    def _watched(self, week: Window, found: _Found) -> WatchedWeek | None:
        days = [f"{week.start + timedelta(days=n):%Y-%m-%d}" for n in range(_days(week))]
        own = [look for day in days for look in found.looks.get(day, ())]
        for run in sorted({look.run for look in own}):
            results = self._results(run)
            if "decide" in results and results["decide"].window == week:
                break
        else:
            return None
        decided, scored = results["decide"].values, results["score"]
        measures = found.measures.get(week.start.isoformat(), ())
        return WatchedWeek(
            version=scored.values["version"],
            predictions=scored.outputs["predictions"].content_hash,
            measures=tuple((m.version, m.kind, m.value, m.rows) for m in measures),
            looks=_hash([_content(look) for look in own]),
            alarms=tuple(_content(one) for day in days for one in found.alarms.get(day, ())),
            train=decided["train"],
            why=decided["why"],
        )

    def _training(self, trigger: Trigger, entry: LedgerLine) -> AskedTraining:
        results, evidence = self._results(trigger.run or ""), trigger.evidence
        judged = results["judge"].values["gates"] if "judge" in results else []
        measured = results["evaluate"].values if "evaluate" in results else {}
        promoted = _values(results, "promote")
        metric = self._pipeline.evaluation.metric
        return AskedTraining(
            trigger=trigger.id,
            cause=trigger.cause,
            policies=tuple(evidence.get("policies", ())),
            why=evidence.get("why", ""),
            predicted_gain=entry.predicted_gain,
            realised_gain=entry.realised_gain,
            paid=entry.told,
            outputs=_outputs(results),
            gates={f"{j['gate']} {j['threshold']}": j["passed"] for j in judged},
            failed=tuple(
                f"{j['gate']}: {j['evidence']}, wanted {j['threshold']}"
                for j in judged
                if not j["passed"]
            ),
            metric=measured.get("metrics", {}).get("candidate", {}).get(metric),
            version=promoted.get("version"),
            before=measured.get("champion"),
            outcome=trigger.outcome or trigger.state,
            run=trigger.run or "",
            cpu_seconds=entry.cpu_seconds,
        )

    def _results(self, run: str) -> Mapping[str, Result]:
        return runs.results(self._environment, self._pipeline.name, run) if run else {}


def _by(pairs: Iterable[tuple[str, One]]) -> dict[str, list[One]]:
    """Gather what belongs to the same day or window, in its order."""
    found: dict[str, list[One]] = {}
    for name, one in pairs:
        found.setdefault(name, []).append(one)
    return found


def _days(week: Window) -> int:
    return (week.end - week.start).days


def _outputs(results: Mapping[str, Result]) -> dict[str, str]:
    return {
        f"{task}.{name}": output.content_hash
        for task, result in results.items()
        for name, output in result.outputs.items()
        if (task, name) not in OF_THE_RUN
    }


def _values(results: Mapping[str, Result], task: str) -> dict[str, Any]:
    return results[task].values if task in results and results[task].error is None else {}


def _content(found: Look | Alarm) -> dict[str, Any]:
    """Give what was found, without the run that found it."""
    return {f.name: getattr(found, f.name) for f in fields(found) if f.name != "run"}


def _hash(told: object) -> str:
    return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()
