"""Tells a story to people: each week as it ends, and all of it in the end."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING

from ml_tasks.config.metrics import sign
from ml_tasks.flow import FLOWS
from ml_tasks.io.audit import ROLLBACK
from perennial import console
from perennial.summary import number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perennial.story import AskedTraining, Story, Week

SIGNALS = 4
"""How many names an alarm is told with."""
ENDS = "record"
"""Ends each flow, and so belongs to none."""


def week(one: Week, metric: str) -> Iterator[str]:
    """Give a week's lines; none where nothing but ingestion happened."""
    if one.watched is not None:
        found = {kind: value for version, kind, value, _rows in one.watched.measures
                 if version == one.watched.version}  # fmt: skip
        told = ", ".join(f"{number(value)} {kind}" for kind, value in found.items())
        yield f"{one.window}: version {one.watched.version}, {metric} {told}"
        for alarm in one.watched.alarms:
            if alarm["paged"]:
                yield f"  alarm of {alarm['day']}: {_moved(alarm)}"
    for training in one.trainings:
        yield f"{one.window}: training asked for by {training.cause}: {training.why}"
        yield f"  {_became(training)}"


def story(told: Story) -> None:
    """Show what happened, and the hash of it."""
    console.say(f"\n[bold]{told.pipeline}, {len(told.weeks)} weeks[/bold]")
    _alarms(told)
    _trainings(told)
    _versions(told)
    _costs(told)
    console.plain(f"story {told.hash}")


def _alarms(told: Story) -> None:
    rows = [
        (alarm["day"], alarm["version"], alarm["of"], _moved(alarm), number(alarm["loss"]))
        for one in told.weeks
        if one.watched is not None
        for alarm in one.watched.alarms
        if alarm["paged"]
    ]
    console.table("Alarms", ("day", "version", "of", "moved", "may cost"), rows)


def _trainings(told: Story) -> None:
    rows = [
        (
            one.window.partition("/")[2], training.cause, training.why, number(training.metric),
            _became(training), number(training.predicted_gain),
            number(training.realised_gain), training.paid, f"{training.cpu_seconds:.0f}",
        )
        for one in told.weeks
        for training in one.trainings
    ]  # fmt: skip
    heads = (
        *("until", "asked by", "because", f"{told.metric} when judged", "outcome"),
        *("gain expected", "gain realised", "did it pay", "CPU seconds"),
    )
    console.table("Trainings", heads, rows)


def _versions(told: Story) -> None:
    realised: dict[str, list[tuple[float, int]]] = defaultdict(list)
    for one in told.weeks:
        if one.watched is None:
            continue
        for version, kind, value, rows in one.watched.measures:
            if kind == "realised" and version == one.watched.version:
                realised[version].append((value, rows))
    way = sign(told.metric)
    table = [
        (
            version,
            len(found),
            number(sum(v * n for v, n in found) / sum(n for _v, n in found)),
            number(way * min(way * v for v, _n in found)),
            number(way * max(way * v for v, _n in found)),
        )
        for version, found in sorted(realised.items(), key=lambda item: int(item[0]))
    ]
    heads = ("version", "weeks", f"{told.metric} realised", "worst week", "best week")
    console.table("Champions", heads, table)
    if any(action == ROLLBACK for action, _version in told.champions):
        turns = [f"back to {v}" if action == ROLLBACK else v for action, v in told.champions]
        console.plain(f"champion in turn: {', '.join(turns)}")


def _costs(told: Story) -> None:
    flows = {name: [s.task for s in flow if s.task != ENDS] for name, flow in FLOWS.items()}
    parts = {n: sum(told.cpu_seconds.get(t, 0.0) for t in tasks) for n, tasks in flows.items()}
    rows = [(name, f"{seconds:.0f}") for name, seconds in parts.items()]
    console.table(
        "CPU seconds", ("flow", "seconds"), [*rows, ("all", f"{sum(parts.values()):.0f}")]
    )


def _moved(alarm: dict[str, object]) -> str:
    signals = alarm["signals"]
    names = [str(signal["name"]) for signal in signals] if isinstance(signals, list) else []
    more = len(names) - SIGNALS
    return ", ".join(names[:SIGNALS]) + (f" and {more} more" if more > 0 else "")


def _became(training: AskedTraining) -> str:
    if training.version is not None:
        before = f" after {training.before}" if training.before else ""
        return f"version {training.version} is champion{before}"
    return f"refused: {'; '.join(training.failed)}" if training.failed else training.outcome
