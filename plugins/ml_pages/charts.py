"""Where lines, bands and marks of a chart lie; templates draw them.

Across, places are per cent of the width, so that a chart fills whatever room there is with its
texts in their own size; paths are in thousandths of the width and are stretched. Down, they are
pixels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime

WIDE = 1000
NUM_LABELS = 8
STEPS = (1, 2, 2.5, 5, 10)
MONTHS = (1, 2, 3, 4, 6, 12)


@dataclass(frozen=True, slots=True)
class Across:
    """The range of time that a chart shows."""

    start: datetime
    end: datetime

    def at(self, moment: datetime) -> float:
        """Give a moment's place in per cent of the width."""
        share = (moment - self.start) / (self.end - self.start)
        return round(100 * min(max(share, 0.0), 1.0), 2)


@dataclass(frozen=True, slots=True)
class Down:
    """The range of values that a chart shows."""

    low: float
    high: float
    height: int
    inset: int = 6
    """Pixels above the highest and below the lowest value."""

    def at(self, value: float) -> float:
        """Give a value's place in pixels from the top; what lies outside is at the edge."""
        share = (min(max(value, self.low), self.high) - self.low) / (self.high - self.low)
        return round(self.inset + (1 - share) * (self.height - 2 * self.inset), 1)


@dataclass(frozen=True, slots=True)
class Tick:
    """A labelled place on an axis."""

    at: float
    label: str


def domain(values: Iterable[float], bounds: Iterable[float] = (), height: int = 200) -> Down:
    """Give a range in which all values have room, and bounds as far as that leaves it readable.

    Args:
        values: What has to be seen.
        bounds: Ends of intervals; those that lie far away are cut.
        height: Pixels.
    """
    known = list(values)
    low, high = min(known, default=0.0), max(known, default=1.0)
    room = max(high - low, 1e-3 * max(abs(low), abs(high)), 1e-9)
    far = [low - 1.5 * room, high + 1.5 * room]
    near = [bound for bound in bounds if far[0] <= bound <= far[1]]
    low, high = min([low, *near]), max([high, *near])
    margin = 0.05 * max(high - low, room)
    return Down(low - margin, high + margin, height)


def value_ticks(down: Down, wanted: int = 6) -> list[Tick]:
    """Give round values within a range."""
    rough = (down.high - down.low) / wanted
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * s for s in STEPS if power * s >= rough)
    digits = max(0, 1 - math.floor(math.log10(step)) - (step / power in (1, 2, 5, 10)))
    first = math.ceil(down.low / step)
    last = math.floor(down.high / step)
    return [Tick(down.at(n * step), f"{n * step:,.{digits}f}") for n in range(first, last + 1)]


def month_ticks(across: Across, most: int = NUM_LABELS) -> list[Tick]:
    """Give beginnings of months, or days where there are too few of those."""
    count = (across.end.year - across.start.year) * 12 + across.end.month - across.start.month
    if count < 2:
        days = max(1, (across.end - across.start).days)
        later = (across.start + timedelta(days=n) for n in range(0, days, -(-days // 4)))
        return [Tick(across.at(moment), f"{moment:%Y-%m-%d}") for moment in later]
    step = next((s for s in MONTHS if count / s <= most), 12 * -(-count // (12 * most)))
    begin = across.start.replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    found = []
    for n in range(1, count + 1):
        months = begin.month - 1 + n
        moment = begin.replace(year=begin.year + months // 12, month=months % 12 + 1)
        if (moment.year * 12 + moment.month - 1) % step == 0:
            found.append(Tick(across.at(moment), f"{moment:%Y-%m}"))
    return apart(found)


def apart(ticks: Iterable[Tick], least: float = 100 / NUM_LABELS / 1.3) -> list[Tick]:
    """Give the ticks whose labels do not lie over each other, from the first on."""
    kept: list[Tick] = []
    for tick in ticks:
        if not kept or tick.at - kept[-1].at >= least:
            kept.append(tick)
    return kept


def path(points: Sequence[tuple[float, float] | None]) -> str:
    """Give a line through points, in per cent and pixels; `None` interrupts it."""
    parts, pen = [], "M"
    for point in points:
        if point is None:
            pen = "M"
            continue
        parts.append(f"{pen}{10 * point[0]:.1f} {point[1]:.1f}")
        pen = "L"
    return "".join(parts)


def band(points: Sequence[tuple[float, float, float] | None]) -> str:
    """Give the area between two lines, `(across, upper, lower)`; `None` interrupts it."""
    parts: list[str] = []
    stretch: list[tuple[float, float, float]] = []
    for point in [*points, None]:
        if point is not None:
            stretch.append(point)
            continue
        if len(stretch) > 1:
            there = path([(x, upper) for x, upper, _ in stretch])
            back = path([(x, lower) for x, _, lower in reversed(stretch)])
            parts.append(f"{there}L{back[1:]}Z")
        stretch = []
    return "".join(parts)


def cells(places: Iterable[tuple[int, int]]) -> str:
    """Give squares of one unit as one path, neighbours in a row as one."""
    parts: list[str] = []
    last: tuple[int, int] | None = None
    width = 0
    for row, column in sorted(places):
        if last is not None and (row, column) == (last[0], last[1] + width):
            width += 1
            continue
        if last is not None:
            parts.append(f"M{last[1]} {last[0]}h{width}v1h-{width}z")
        last, width = (row, column), 1
    if last is not None:
        parts.append(f"M{last[1]} {last[0]}h{width}v1h-{width}z")
    return "".join(parts)
