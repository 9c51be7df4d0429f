"""What monitoring found of each version: metrics by window, signals by day, alarms, grades."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import sqlalchemy as sa

from ml_tasks.io.database import Database, records
from ml_tasks.io.schema import alarms, grades, looks, measures

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from ml_tasks.io.leases import Lease

Kind = Literal["realised", "estimated"]
Of = Literal["inputs", "truth"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Measure:
    """One metric of one version on one window or a segment of it."""

    pipeline: str
    version: str
    start: str
    """The window, ISO 8601 in UTC."""
    end: str
    kind: Kind
    metric: str
    segment: str
    """Such as `carrier=UA`; empty for all rows."""
    value: float
    low: float | None
    """Bounds of its 95 % interval and its standard error; `None` where a day was too few."""
    high: float | None
    error: float | None
    rows: int
    """On how many it was measured; of `predicted` those whose label is known."""
    predicted: int
    known: str
    """Up to which moment labels were known, ISO 8601 in UTC."""
    run: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Look:
    """One signal on one day."""

    pipeline: str
    version: str
    day: str
    signal: str
    value: float
    """Larger is further from the reference."""
    p_value: float | None
    """What a test of single rows says; for people, it decides nothing."""
    cost: float | None
    """What it costs in the metric, by estimate; `None` where that cannot be said."""
    rows: int
    run: str
    share: float | None = None
    """How much of the way to an alarm it is after this look; 1 and more is one."""


class Share(NamedTuple):
    """What pages draw of a look."""

    day: str
    version: str
    signal: str
    value: float
    share: float | None
    run: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Alarm:
    """A day on which a signal went beyond its part of the budget."""

    pipeline: str
    version: str
    day: str
    of: Of
    """What came in and was predicted, or what came true, which is known later."""
    level: float
    """How far beyond: at 1 and more it is an alarm."""
    paged: bool
    """Whether it costs enough to wake somebody."""
    loss: float | None
    """What it costs in the metric, by estimate."""
    signals: list[dict[str, Any]]
    """Those that moved, the dearest first: name, share of the level, estimated loss."""
    run: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Grade:
    """How much better a champion is than the one before it, on rows that both predicted."""

    pipeline: str
    version: str
    before: str
    start: str
    """The windows that are looked at together, ISO 8601 in UTC."""
    end: str
    metric: str
    value: float
    """Of the metric; more is better, whatever the metric."""
    low: float | None
    """Bounds of its 95 % interval and its standard error; `None` where a day was too few."""
    high: float | None
    error: float | None
    rows: int
    """On how many it was measured; of `predicted` those whose label is known."""
    predicted: int
    windows: int
    """How many they are; of `wanted` that are to be graded in all."""
    wanted: int
    known: str
    """Up to which moment labels were known, ISO 8601 in UTC."""
    run: str


Found = Measure | Look | Alarm | Grade
"""What a run may write."""
_Key = tuple[object, ...]
"""A kind and the key of its table."""


class Watched(Database):
    """Metrics, signals, alarms and grades: what pages show and policies decide from."""

    def watch(
        self,
        pipeline: str,
        found: Sequence[Found],
        lease: Lease,
    ) -> None:
        """Write what a run found, in the place of what was found of the same before.

        A metric that another run measured by labels of a later moment stays.

        Args:
            pipeline: The product.
            found: Metrics, signals, alarms and grades.
            lease: The run's right to say so.

        Raises:
            LeaseLostError: Another attempt or run has the lease; nothing was changed.
        """
        with self.transaction() as tx:
            lease.check_within(tx)
            known = _known(tx, pipeline, found)
            found = [one for one in found if not _older(one, known)]
            for kind, table in _TABLES.items():
                names = [field.name for field in fields(kind)]
                # Not `asdict`: it copies each word of thousands of looks.
                rows = [
                    {name: getattr(one, name) for name in names}
                    for one in found
                    if isinstance(one, kind)
                ]
                if not rows:
                    continue
                if any(row["pipeline"] != pipeline for row in rows):
                    raise ValueError(f"came what was found of another product than {pipeline}")
                key = list(table.primary_key.columns)
                same = sa.and_(*(c == sa.bindparam(f"old_{c.name}") for c in key))
                tx.execute(
                    table.delete().where(same),
                    [{f"old_{c.name}": row[c.name] for c in key} for row in rows],
                )
                tx.execute(table.insert(), rows)

    def measures(
        self,
        pipeline: str,
        *,
        since: str = "",
        segments: bool = False,
        segment: str = "",
        metric: str = "",
    ) -> list[Measure]:
        """Give metrics by window, oldest first.

        Args:
            pipeline: The product.
            since: Of windows that begin at this moment or later, ISO 8601 in UTC.
            segments: Those of all segments, too.
            segment: Of this segment alone; of all rows when empty.
            metric: This one alone; all when empty.
        """
        wanted = _of(Measure, measures, pipeline).where(measures.c.start >= since)
        if not segments:
            wanted = wanted.where(measures.c.segment == segment)
        if metric:
            wanted = wanted.where(measures.c.metric == metric)
        with self.transaction() as tx:
            rows = tx.execute(wanted.order_by(measures.c.start, *measures.primary_key.columns))
            return records(Measure, rows)

    def newest_measures(self, metrics: Mapping[str, str], count: int) -> list[Measure]:
        """Give one metric of each pipeline on its newest windows, oldest first.

        Args:
            metrics: By pipeline, which metric.
            count: How many windows.
        """
        columns = [measures.c[field.name] for field in fields(Measure)]
        place = sa.func.dense_rank().over(
            partition_by=measures.c.pipeline, order_by=measures.c.start.desc()
        )
        own = sa.tuple_(measures.c.pipeline, measures.c.metric).in_(list(metrics.items()))
        ranked = sa.select(*columns, place.label("place")).where(own, measures.c.segment == "")
        found = ranked.subquery()
        wanted = sa.select(*(found.c[column.name] for column in columns))
        wanted = wanted.where(found.c.place <= count).order_by(found.c.pipeline, found.c.start)
        with self.transaction() as tx:
            return records(Measure, tx.execute(wanted))

    def looks(self, pipeline: str, *, version: str = "", since: str = "") -> list[Look]:
        """Give signals by day, oldest first; of one version where it is named."""
        wanted = _of(Look, looks, pipeline).where(looks.c.day >= since)
        if version:
            wanted = wanted.where(looks.c.version == version)
        with self.transaction() as tx:
            rows = tx.execute(wanted.order_by(looks.c.day, looks.c.version, looks.c.signal))
            return records(Look, rows)

    def furthest(self, pipeline: str, version: str, *, since: str) -> dict[str, float]:
        """Give by signal how far a version's was at most on the way to an alarm, since a day."""
        own = (looks.c.pipeline == pipeline, looks.c.version == version, looks.c.day >= since)
        most = sa.func.max(sa.func.coalesce(looks.c.share, 0.0))
        with self.transaction() as tx:
            rows = tx.execute(sa.select(looks.c.signal, most).where(*own).group_by(looks.c.signal))
            return {name: float(share) for name, share in rows}

    def shares(self, pipeline: str, signals: Collection[str], *, since: str = "") -> list[Share]:
        """Give looks at some signals in short, of all versions, by day."""
        wanted = sa.select(*(looks.c[name] for name in Share._fields))
        own = (looks.c.pipeline == pipeline, looks.c.day >= since, looks.c.signal.in_(signals))
        with self.transaction() as tx:
            rows = tx.execute(wanted.where(*own).order_by(looks.c.day))
            return [Share._make(row) for row in rows]

    def alarms(self, pipeline: str | None = None, *, version: str = "") -> list[Alarm]:
        """Give alarms, oldest first; of one pipeline and version where they are named."""
        wanted = _of(Alarm, alarms, pipeline)
        if version:
            wanted = wanted.where(alarms.c.version == version)
        with self.transaction() as tx:
            rows = tx.execute(wanted.order_by(alarms.c.day, alarms.c.version, alarms.c.of))
            return records(Alarm, rows)

    def grades(self, pipeline: str, *, version: str = "") -> list[Grade]:
        """Give grades, oldest windows first; of one version where it is named."""
        wanted = _of(Grade, grades, pipeline)
        if version:
            wanted = wanted.where(grades.c.version == version)
        with self.transaction() as tx:
            rows = tx.execute(wanted.order_by(grades.c.end, grades.c.windows, grades.c.version))
            return records(Grade, rows)


_TABLES: dict[type[Found], sa.Table] = {
    Measure: measures,
    Look: looks,
    Alarm: alarms,
    Grade: grades,
}


def _known(tx: sa.Connection, pipeline: str, found: Sequence[Found]) -> dict[_Key, str]:
    """Give up to when labels were known for what was measured of the same windows before."""
    known: dict[_Key, str] = {}
    for kind in (Measure, Grade):
        starts = [one.start for one in found if isinstance(one, kind)]
        if starts:
            table = _TABLES[kind]
            key = list(table.primary_key.columns)
            own = (table.c.pipeline == pipeline) & table.c.start.between(min(starts), max(starts))
            for *names, until in tx.execute(sa.select(*key, table.c.known).where(own)):
                known[kind, *names] = until
    return known


def _older(one: Found, known: Mapping[_Key, str]) -> bool:
    """Tell whether the same was measured by labels of a later moment."""
    if not isinstance(one, Measure | Grade):
        return False
    key = (getattr(one, c.name) for c in _TABLES[type(one)].primary_key.columns)
    return known.get((type(one), *key), "") > one.known


def _of(kind: type[Found], table: sa.Table, pipeline: str | None) -> sa.Select[Any]:
    wanted = sa.select(*(table.c[field.name] for field in fields(kind)))
    return wanted if pipeline is None else wanted.where(table.c.pipeline == pipeline)
