"""How far each signal was on the way to an alarm, window by window."""

from __future__ import annotations

from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

from ml_pages import charts, words

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from ml_pages.charts import Tick
    from ml_tasks.io.watched import Alarm, Share
    from ml_tasks.io.windows import Ingested

EDGES = (0.001, 0.01, 0.1, 0.3, 1.0)
"""Shares of the way to an alarm at which the colour changes; the last one is the alarm."""
NUM_SIGNALS = 40
LATE = 4
"""Windows by which signals are ordered."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One signal in one window: the day on which it was furthest."""

    share: float
    day: str
    value: float


@dataclass(frozen=True, slots=True)
class Column:
    """One window."""

    start: str
    end: str
    version: str
    run: str
    """The run that looked at it."""
    alarms: tuple[Alarm, ...]

    @property
    def label(self) -> str:
        """Give the window in words."""
        return words.window(self.start, self.end)

    @property
    def paged(self) -> bool:
        """Tell whether somebody was called."""
        return any(alarm.paged for alarm in self.alarms)


@dataclass(frozen=True, slots=True)
class Row:
    """One signal."""

    signal: str
    cells: tuple[Cell | None, ...]

    @property
    def late(self) -> float:
        """Give how far it was of late."""
        return max((cell.share for cell in self.cells[-LATE:] if cell is not None), default=0.0)

    @property
    def most(self) -> float:
        """Give how far it ever was."""
        return max((cell.share for cell in self.cells if cell is not None), default=0.0)


@dataclass(frozen=True, slots=True)
class Heat:
    """All of it, the signals that were furthest of late first."""

    columns: tuple[Column, ...]
    rows: tuple[Row, ...]
    shades: tuple[tuple[int, str], ...]
    """Shade from 0, and its cells as a path, a unit each."""
    changes: tuple[Tick, ...]
    """Where another version took over."""
    marks: tuple[tuple[float, Column], ...]
    """Windows with alarms."""
    times: tuple[Tick, ...]
    left_out: int
    """Signals that are not shown."""
    unknown: bool
    """Whether looks are among them that were taken before shares were kept."""


def chosen(furthest: Mapping[str, float], alarms: Iterable[Alarm]) -> list[str]:
    """Give the signals that are shown: half of them alarmed most often, the others are furthest.

    Args:
        furthest: By signal, how far it was of late.
        alarms: Those of the windows that are shown.
    """
    often = Counter(str(signal["name"]) for alarm in alarms for signal in alarm.signals)
    names = [name for name, _ in often.most_common(NUM_SIGNALS // 2)]
    names += sorted(furthest, key=lambda name: (-furthest[name], name))
    return list(dict.fromkeys(names))[:NUM_SIGNALS]


def heat(
    looks: Sequence[Share],
    alarms: Iterable[Alarm],
    windows: Sequence[Ingested],
    number: int = 0,
) -> Heat | None:
    """Lay the map out; `None` where nothing was looked at.

    Args:
        looks: At the signals that are shown.
        alarms: Of any signals.
        windows: Those that are shown, oldest first.
        number: How many signals there are.
    """
    days = sorted({look.day for look in looks})
    known = [w for w in windows if days and w.end[:10] > days[0] and w.start[:10] <= days[-1]]
    starts = [w.start[:10] for w in known]
    found: dict[str, dict[int, Cell]] = {}
    told: dict[int, Share] = {}
    for look in looks:
        place = bisect_right(starts, look.day) - 1
        if place < 0:
            continue
        told.setdefault(place, look)
        own = found.setdefault(look.signal, {})
        share = look.share or 0.0
        if place not in own or own[place].share < share:
            own[place] = Cell(share, look.day, look.value)
    if not told:
        return None
    places = range(min(told), max(told) + 1)
    rows = [Row(signal, tuple(map(own.get, places))) for signal, own in found.items()]
    rows.sort(key=lambda row: (-row.late, -row.most, row.signal))
    columns = _columns(known, told, list(alarms), places)
    unknown = any(look.share is None for look in looks)
    return _laid(columns, rows, max(number - len(rows), 0), unknown)


def _columns(
    windows: Sequence[Ingested], told: dict[int, Share], alarms: Sequence[Alarm], places: range
) -> tuple[Column, ...]:
    made = []
    for place in places:
        start, end = windows[place].start, windows[place].end
        own = tuple(a for a in alarms if start[:10] <= a.day < end[:10])
        look = told.get(place)
        version, run = ("", "") if look is None else (look.version, look.run)
        made.append(Column(start, end, version, run, own))
    return tuple(made)


def _laid(columns: tuple[Column, ...], rows: Sequence[Row], left_out: int, unknown: bool) -> Heat:
    by_shade: dict[int, list[tuple[int, int]]] = {}
    for down, row in enumerate(rows):
        for across, cell in enumerate(row.cells):
            if cell is not None:
                by_shade.setdefault(shade(cell.share), []).append((down, across))
    number = len(columns)
    seen = [(n, c.version) for n, c in enumerate(columns) if c.version]
    changes = [
        charts.Tick(round(100 * n / number, 2), version)
        for (_, before), (n, version) in pairwise(seen)
        if before != version
    ]
    marks = [(round(100 * (n + 0.5) / number, 2), c) for n, c in enumerate(columns) if c.alarms]
    return Heat(
        columns=columns,
        rows=tuple(rows),
        shades=tuple((n, charts.cells(places)) for n, places in sorted(by_shade.items())),
        changes=tuple(changes),
        marks=tuple(marks),
        times=tuple(_times(columns)),
        left_out=left_out,
        unknown=unknown,
    )


def shade(share: float) -> int:
    """Give the shade of a share, 0 for the calmest."""
    return bisect_right(EDGES, share)


def _times(columns: Sequence[Column]) -> list[Tick]:
    """Give months where their first window stands: columns are windows, wherever time has holes."""
    across = charts.Across(words.moment(columns[0].start), words.moment(columns[-1].end))
    labels = [tick.label for tick in charts.month_ticks(across)]
    starts = [column.start[:10] for column in columns]
    found = []
    for label in labels:
        place = next((n for n, start in enumerate(starts) if start >= label), None)
        if place is not None:
            found.append(charts.Tick(round(100 * place / len(columns), 2), label))
    return charts.apart(found)
