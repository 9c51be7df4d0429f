"""How well a pipeline's champions did, window by window."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Literal

from ml_pages import charts, words
from ml_tasks.io.audit import MOVES, ROLLBACK

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_pages.charts import Across, Down, Tick
    from ml_pages.judged import Bounds
    from ml_tasks.io.control import AuditEntry
    from ml_tasks.io.watched import Kind, Measure

ZERO = timedelta(0)
HEIGHT = 220
SMALL = 24
Action = Literal["promote", "rollback"]


@dataclass(frozen=True, slots=True)
class Seen:
    """One window."""

    start: str
    end: str
    realised: Measure | None
    estimated: Measure | None

    @property
    def version(self) -> str:
        """Give the version that most rows of the window were predicted by."""
        measure = self.realised or self.estimated
        return measure.version if measure is not None else ""

    @property
    def run(self) -> str:
        """Give the run that measured last."""
        measure = self.realised or self.estimated
        return measure.run if measure is not None else ""

    @property
    def lines(self) -> list[str]:
        """Give what a tooltip says."""
        found = [words.window(self.start, self.end)]
        for measure in (self.realised, self.estimated):
            if measure is None:
                continue
            value = f"{measure.kind} {words.number(measure.value)}"
            if measure.low is not None and measure.high is not None:
                value += f"  ({words.number(measure.low)} to {words.number(measure.high)})"
            found.append(value)
        measure = self.realised or self.estimated
        if measure is not None:
            known = f"{words.count(measure.rows)} of {words.plural(measure.predicted, 'row')}"
            found += [f"version {self.version}, {known}"]
        return found


@dataclass(frozen=True, slots=True)
class Point:
    """A window in the chart."""

    seen: Seen
    at: float
    left: float
    wide: float
    realised: float | None
    estimated: float | None


@dataclass(frozen=True, slots=True)
class Stretch:
    """Windows in a row that one version predicts."""

    version: str
    left: float
    right: float


@dataclass(frozen=True, slots=True)
class Mark:
    """A champion that took over, at the first window that it predicted or will predict."""

    at: float
    version: str
    action: Action
    entry: AuditEntry


@dataclass(frozen=True, slots=True)
class Level:
    """What a version's metric was when it was judged, over the windows that it predicts."""

    left: float
    right: float
    at: float
    version: str
    value: float


@dataclass(frozen=True, slots=True)
class Chart:
    """Performance over time."""

    height: int
    points: tuple[Point, ...]
    band: str
    realised: str
    estimated: str
    levels: tuple[Level, ...]
    marks: tuple[Mark, ...]
    values: tuple[Tick, ...]
    times: tuple[Tick, ...]


def champions(measures: Sequence[Measure]) -> dict[str, str]:
    """Give the champion of each window by its start: what it says alone is estimated."""
    return {m.start: m.version for m in measures if m.kind == "estimated"}


def windows(measures: Sequence[Measure], champion: Mapping[str, str]) -> list[Seen]:
    """Give the windows, oldest first.

    Args:
        measures: Of one metric on one part of the rows, by any versions.
        champion: By window, whose count; where it is not known, those on the most rows do.
    """
    found: dict[str, dict[Kind, Measure]] = {}

    def rank(measure: Measure) -> tuple[bool, int]:
        return measure.version == champion.get(measure.start), measure.rows

    for measure in sorted(measures, key=rank):
        found.setdefault(measure.start, {})[measure.kind] = measure
    return [
        Seen(start, next(iter(own.values())).end, own.get("realised"), own.get("estimated"))
        for start, own in sorted(found.items())
    ]


def chart(
    seen: Sequence[Seen],
    references: Mapping[str, Bounds | None],
    log: Sequence[AuditEntry],
    unseen: str = "",
) -> Chart | None:
    """Lay the chart out; `None` where nothing was measured.

    Args:
        seen: Windows, oldest first.
        references: By version, what the metric was when it was judged.
        log: The pipeline's audit log, for who took over.
        unseen: The champion's version where it has not seen a window yet; there is room for one.
    """
    if not seen:
        return None
    start, end = words.moment(seen[-1].start), words.moment(seen[-1].end)
    across = charts.Across(words.moment(seen[0].start), end + (end - start if unseen else ZERO))
    down = _down(seen, [r.value for r in references.values() if r is not None], HEIGHT)
    points = tuple(_point(one, across, down) for one in seen)
    stretches = _stretches(points)
    if unseen:
        stretches.append(Stretch(unseen, across.at(end), 100))
    return Chart(
        height=HEIGHT,
        points=points,
        band=charts.band([_interval(point, down) for point in points]),
        realised=_line(points, "realised"),
        estimated=_line(points, "estimated"),
        levels=tuple(_levels(stretches, references, down)),
        marks=tuple(_marks(stretches, log)),
        values=tuple(charts.value_ticks(down)),
        times=tuple(charts.month_ticks(across)),
    )


def spark(seen: Sequence[Seen], references: Mapping[str, Bounds]) -> Chart | None:
    """Lay a small chart out, of realised values and what their versions were when judged."""
    seen = [one for one in seen if one.realised is not None]
    if not seen:
        return None
    across = charts.Across(words.moment(seen[0].start), words.moment(seen[-1].end))
    values = [one.realised.value for one in seen if one.realised is not None]
    told = {one.version: references[one.version] for one in seen if one.version in references}
    down = charts.domain([*values, *(r.value for r in told.values())], height=SMALL)
    points = tuple(_point(one, across, down) for one in seen)
    levels = tuple(_levels(_stretches(points), told, down))
    return Chart(SMALL, points, "", _line(points, "realised"), "", levels, (), (), ())


def _down(seen: Sequence[Seen], told: Sequence[float], height: int) -> Down:
    measures = [m for one in seen for m in (one.realised, one.estimated) if m is not None]
    realised = [m for m in measures if m.kind == "realised"]
    bounds = [b for m in realised for b in (m.low, m.high) if b is not None]
    return charts.domain([*(m.value for m in measures), *told], bounds, height)


def _point(seen: Seen, across: Across, down: Down) -> Point:
    left, right = across.at(words.moment(seen.start)), across.at(words.moment(seen.end))
    places = [None if m is None else down.at(m.value) for m in (seen.realised, seen.estimated)]
    return Point(seen, round((left + right) / 2, 2), left, round(right - left, 2), *places)


def _interval(point: Point, down: Down) -> tuple[float, float, float] | None:
    measure = point.seen.realised
    if measure is None or measure.low is None or measure.high is None:
        return None
    return point.at, down.at(measure.high), down.at(measure.low)


def _line(points: Sequence[Point], kind: Kind) -> str:
    """Give the line; where windows lack, it is interrupted."""
    places: list[tuple[float, float] | None] = []
    for before, point in zip((None, *points), points, strict=False):
        if before is not None and before.seen.end < point.seen.start:
            places.append(None)
        value = point.realised if kind == "realised" else point.estimated
        places.append(None if value is None else (point.at, value))
    return charts.path(places)


def _levels(
    stretches: Sequence[Stretch], references: Mapping[str, Bounds | None], down: Down
) -> list[Level]:
    found: list[Level] = []
    for one in stretches:
        told = references.get(one.version)
        if told is not None:
            place = down.at(told.value)
            found.append(Level(one.left, one.right, place, one.version, told.value))
    return found


def _marks(stretches: Sequence[Stretch], log: Sequence[AuditEntry]) -> list[Mark]:
    """Give who took over and when, in the order of windows; moves that no window saw are left out.

    Windows may be older than the moves: what was promoted today may predict the past.
    """
    moves = [entry for entry in log if entry.action in MOVES]
    found: list[Mark] = []
    for one in stretches:
        own = (n for n, e in enumerate(moves) if e.detail["version"] == one.version)
        place = next(own, None)
        if place is None:
            continue
        entry = moves[place]
        moves = moves[place + 1 :]
        action: Action = "rollback" if entry.action == ROLLBACK else "promote"
        found.append(Mark(one.left, one.version, action, entry))
    return found


def _stretches(points: Sequence[Point]) -> list[Stretch]:
    """Give the stretches of windows that one version predicted."""
    found: list[Stretch] = []
    for point in points:
        version, left, right = point.seen.version, point.left, point.left + point.wide
        if found and found[-1].version == version:
            left = found.pop().left
        found.append(Stretch(version, left, right))
    return found
