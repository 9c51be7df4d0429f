"""How a pipeline does, at a glance, and in words what is wrong with it."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from ml_pages import judged, performance, words
from ml_pages.fresh import Fresh, fresh
from ml_tasks.config.metrics import sign
from ml_tasks.flow import FLOWS
from ml_tasks.io.triggers import ASKED, DONE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from ml_pages.facts import Facts
    from ml_pages.judged import Bounds
    from ml_pages.performance import Chart, Seen
    from ml_tasks.config import Environment
    from ml_tasks.io.control import Trigger
    from ml_tasks.io.watched import Alarm, Kind, Measure

Level = Literal["bad", "warn", "good", "new"]
ORDER = ("bad", "warn", "new", "good")
SAID: dict[Level, str] = {
    "bad": "needs attention", "warn": "worth a look", "new": "waiting", "good": "healthy",
}  # fmt: skip
STANDING = timedelta(days=14)
"""How long an alarm stands, counted back from the end of the window that was watched last."""
WAITING = timedelta(minutes=30)
"""How long a wish to train may wait for its run."""
NUM_SIGNALS = 3
CHANCE = 1.96
"""Standard errors that chance explains."""


@dataclass(frozen=True, slots=True)
class Trouble:
    """One thing that is wrong."""

    level: Level
    text: str
    run: tuple[str, str] | None = None
    """Flow and name of the run that tells more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Glance:
    """What is said of a pipeline among all others."""

    facts: Facts
    fresh: Fresh
    references: Mapping[str, Bounds]
    """By version of those that were watched, what the metric was when it was judged."""
    realised: Measure | None
    estimated: Measure | None
    standing: tuple[Alarm, ...]
    """Alarms of the champion that still stand, those that page and others."""
    open: tuple[Trigger, ...]
    training: Trigger | None
    """The newest wish to train that a run took up."""
    troubles: tuple[Trouble, ...]

    @property
    def level(self) -> Level:
        """Give how bad the worst of it is."""
        found = {trouble.level for trouble in self.troubles}
        return next((level for level in ("bad", "warn", "new") if level in found), "good")

    @property
    def paged(self) -> int:
        """Give how many of the alarms that stand page."""
        return sum(alarm.paged for alarm in self.standing)

    @property
    def spark(self) -> Chart | None:
        """Give the trend in small."""
        return performance.spark(self.facts.seen, self.references)

    def lost(self, measure: Measure) -> float | None:
        """Give how much worse a measure is than when its version was judged."""
        told = self.references.get(measure.version)
        if told is None:
            return None
        return sign(self.facts.pipeline.evaluation.metric) * (told.value - measure.value)

    def worse(self, measure: Measure) -> bool:
        """Tell whether a measure of the champion is worse than judged, by more than chance."""
        head, told = self.facts.head, self.references.get(measure.version)
        if head is None or measure.version != head.version or told is None:
            return False
        lost = self.lost(measure)
        # Nothing is more than a chance that nobody knows.
        errors = (math.inf if one is None else one for one in (measure.error, told.error))
        noise = CHANCE * math.hypot(*errors)
        return lost is not None and lost > noise


def glance(facts: Facts, environment: Environment) -> Glance:
    """Say how a pipeline does."""
    seen = facts.seen
    made = Glance(
        facts=facts,
        fresh=fresh(facts.pipeline.schedule, facts.windows, facts.now),
        references=_references(facts, seen, environment),
        realised=next((one.realised for one in reversed(seen) if one.realised), None),
        estimated=next((one.estimated for one in reversed(seen) if one.estimated), None),
        standing=_standing(facts, seen),
        open=tuple(t for t in facts.triggers if t.state != DONE),
        training=next((t for t in reversed(facts.triggers) if t.run is not None), None),
        troubles=(),
    )
    found = [*_data(made), *_model(made), *_performance(made), *_alarms(made), *_trainings(made)]
    found.sort(key=lambda trouble: ORDER.index(trouble.level))
    return replace(made, troubles=tuple(found))


def _references(facts: Facts, seen: Sequence[Seen], environment: Environment) -> dict[str, Bounds]:
    outcomes, found = {t.run: t.outcome for t in facts.triggers}, {}
    for version in {one.version for one in seen} & facts.runs.keys():
        run = facts.runs[version]
        known = judged.of(environment, facts.pipeline.name, run, outcomes.get(run, ""))
        told = known.reference(facts.pipeline.evaluation.metric)
        if told is not None:
            found[version] = told
    return found


def _standing(facts: Facts, seen: Sequence[Seen]) -> tuple[Alarm, ...]:
    if facts.head is None or not seen:
        return ()
    since = f"{words.moment(seen[-1].end) - STANDING:%Y-%m-%d}"
    return tuple(a for a in facts.alarms if a.version == facts.head.version and a.day >= since)


def _data(made: Glance) -> Iterator[Trouble]:
    name, state = made.facts.pipeline.name, made.fresh.state
    if made.fresh.last is None:
        yield Trouble(
            "new", f"No window is in: unpause {name}__ingestion, or start a backfill of it."
        )
    elif state == "late":
        late = words.length(made.facts.now - made.fresh.expected[1])
        yield Trouble("bad", f"Window {made.fresh.next_window} is late: it was due {late} ago.")
    elif state == "ended":
        yield Trouble(
            "new",
            f"The schedule ended {made.facts.pipeline.schedule.end}; windows from "
            f"{made.fresh.expected[0]:%Y-%m-%d} on come by a backfill of {name}__ingestion.",
        )
    if made.fresh.hole is not None:
        start, end = made.fresh.hole
        yield Trouble(
            "warn", f"Windows are missing: {words.window(start, end)}. Start a backfill of them."
        )
    for failed in made.facts.failed[-2:]:
        yield Trouble(
            "warn", f"Run {failed.run} {failed.state} at {failed.task} on {words.day(failed.at)}.",
            (flow_of(failed.task), failed.run),
        )  # fmt: skip


def _model(made: Glance) -> Iterator[Trouble]:
    facts = made.facts
    if facts.head is None and not facts.triggers and facts.windows:
        yield Trouble(
            "new",
            f"No champion: ask for a training by the form of {facts.pipeline.name}__intake.",
        )
    elif facts.head is None and facts.triggers:
        yield Trouble("warn", "No champion: no training has passed its gates yet.")
    elif facts.unseen:
        later = "the schedule has no other"
        if made.fresh.state != "complete":
            later = f"the next is {made.fresh.next_window}"
        yield Trouble("new", f"Version {facts.unseen} has not seen a window yet; {later}.")


def _performance(made: Glance) -> Iterator[Trouble]:
    metric = made.facts.pipeline.evaluation.metric
    levels: dict[Kind, Level] = {"realised": "bad", "estimated": "warn"}
    for measure in (made.realised, made.estimated):
        if measure is None or not made.worse(measure):
            continue
        told = made.references[measure.version]
        yield Trouble(
            levels[measure.kind],
            f"{measure.kind.capitalize()} {metric} {words.number(measure.value)} in "
            f"{words.window(measure.start, measure.end)}, {words.number(told.value)} when "
            f"version {measure.version} was judged: worse by "
            f"{words.number(made.lost(measure))}, more than chance.",
            ("monitoring", measure.run),
        )


def _alarms(made: Glance) -> Iterator[Trouble]:
    metric = made.facts.pipeline.evaluation.metric
    if pages := [alarm for alarm in made.standing if alarm.paged]:
        last = pages[-1]
        names = [str(signal["name"]) for signal in last.signals]
        more = f" and {len(names) - NUM_SIGNALS} more" if len(names) > NUM_SIGNALS else ""
        cost = "" if last.loss is None else f"; may cost {words.number(last.loss)} of {metric}"
        yield Trouble(
            "bad",
            f"Alarm on {last.day}: {', '.join(names[:NUM_SIGNALS])}{more} moved{cost}.",
            ("monitoring", last.run),
        )


def _trainings(made: Glance) -> Iterator[Trouble]:
    now = made.facts.now
    for trigger in made.open:
        waits = now - words.moment(trigger.created)
        if trigger.state == ASKED and waits > WAITING:
            yield Trouble(
                "warn",
                f"Trigger {trigger.id} ({trigger.cause}) has waited {words.length(waits)} for its "
                f"training: perennial triggers show {trigger.id}.",
            )


def flow_of(task: str) -> str:
    """Give the flow that a task belongs to; nothing where several have one of that name."""
    flows = [flow for flow, steps in FLOWS.items() if any(step.task == task for step in steps)]
    return flows[0] if len(flows) == 1 else ""
