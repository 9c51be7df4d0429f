"""Looks at days: each day once, when it is over and when its labels are in."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING

from ml_tasks.io.watched import Alarm, Look
from ml_tasks.monitoring import watching, worth
from ml_tasks.monitoring.reference import LABEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    import polars as pl

    from ml_tasks.io.watched import Of
    from ml_tasks.monitoring.alarms import Update
    from ml_tasks.monitoring.reference import Found, Reference


@dataclass(frozen=True, slots=True)
class Days:
    """The days of one version."""

    pipeline: str
    version: str
    run: str
    reference: Reference

    def inputs(self, rows: pl.DataFrame, before: Sequence[Look]) -> list[Look]:
        """Look at what came in and was predicted, of days that were not looked at.

        Args:
            rows: The version's predictions, with what it took in.
            before: Looks that were taken.
        """
        signals = frozenset(watching.Signals.of(self.reference).inputs)
        seen = {look.day for look in before if look.signal in signals}
        found: list[Look] = []
        for day, own in _by_day(rows):
            if str(day) not in seen:
                found += self._looks(day, self.reference.inputs(own))
        return found

    def truth(self, rows: pl.DataFrame, before: Sequence[Look], end: datetime) -> list[Look]:
        """Look at what came true, of days whose labels are in and that were not looked at.

        A day is waited for as long as labels of the reference took to come. A share of labels is
        not waited for: where nothing came true, as for a flight that was cancelled, none comes.

        Args:
            rows: The version's predictions with `label`, null where it is not known.
            before: Looks that were taken.
            end: Moment up to which labels are known.
        """
        signals = watching.Signals.of(self.reference).truth
        seen = {look.day for look in before if look.signal in signals}
        patience = timedelta(seconds=self.reference.about.label_seconds)
        found: list[Look] = []
        import polars as pl

        told = pl.all_horizontal(pl.col(LABEL, "prediction").cast(pl.Float64).is_finite())
        for day, own in _by_day(rows.filter(told)):
            over = datetime.combine(day, time(), UTC) + timedelta(days=1)
            if str(day) not in seen and over + patience <= end:
                found += self._looks(day, self.reference.truth(own))
        return found

    def followed(
        self, of: Of, looks: Sequence[Look], floor: float
    ) -> tuple[list[Look], list[Alarm]]:
        """Give what this run has looked at, in whichever attempt, and what it comes to.

        A window may be watched after later ones, for which it is then taken anew what they come to.

        Args:
            of: Which signals.
            looks: All of the version, of any signals.
            floor: Estimated cost below which an alarm wakes nobody.

        Returns:
            The run's looks and those of days after them, each with how far its signal is on the way
            to an alarm, and the alarms of their days.
        """
        signals = watching.Signals.of(self.reference)
        names = signals.inputs if of == "inputs" else signals.truth
        own, by_day = frozenset(names), dict[str, list[Look]]()
        for look in looks:
            if look.signal in own:
                by_day.setdefault(look.day, []).append(look)
        days = sorted(by_day)
        taken = [
            ({k.signal: k.value for k in by_day[day]}, {k.signal: k.cost for k in by_day[day]})
            for day in days
        ]
        updates = watching.follow(self.reference, names, signals.weights, taken, floor=floor)
        first = next((day for day in days if by_day[day][0].run == self.run), "9999")
        ours = [(day, u) for day, u in zip(days, updates, strict=True) if day >= first]
        shared = [
            replace(look, share=shares[look.signal])
            for day, update in ours
            for shares in [{signal.name: signal.share for signal in update.signals}]
            for look in by_day[day]
        ]
        alarms = [
            self._alarm(day, of, update, by_day[day][0].run)
            for day, update in ours
            if update.pages or update.listed
        ]
        return shared, alarms

    def _alarm(self, day: str, of: Of, update: Update, run: str) -> Alarm:
        moved = [*update.pages, *update.listed]
        known = [s.cost for s in moved if math.isfinite(s.cost)]
        return Alarm(
            pipeline=self.pipeline,
            version=self.version,
            day=day,
            of=of,
            level=max(signal.share for signal in moved),
            paged=update.alarm,
            loss=max(known) if known else None,
            signals=[
                {"name": s.name, "share": s.share, "cost": s.cost if s.cost in known else None}
                for s in moved
            ],
            run=run,
        )

    def _looks(self, day: date, found: dict[str, Found]) -> list[Look]:
        costs = worth.costs(self.reference.about, found)
        return [
            Look(
                pipeline=self.pipeline,
                version=self.version,
                day=str(day),
                signal=name,
                value=one.value,
                p_value=one.p_value,
                cost=costs.get(name),
                rows=one.rows,
                run=self.run,
            )
            for name, one in found.items()
        ]


def _by_day(rows: pl.DataFrame) -> Iterator[tuple[date, pl.DataFrame]]:
    days = rows["event_time"].dt.date()
    for day in days.unique().sort():
        yield day, rows.filter(days == day)
