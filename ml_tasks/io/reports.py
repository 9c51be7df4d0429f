"""Alerts that other systems report: each once, open until it is resolved."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ml_tasks.io.database import Database, forget, records
from ml_tasks.io.schema import reports, triggers

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

OPEN, CLOSED = "open", "closed"


@dataclass(frozen=True, kw_only=True, slots=True)
class Report:
    """An alert of another system."""

    pipeline: str
    fingerprint: str
    """The other system's name for what it is about."""
    starts_at: str
    """Since when, ISO 8601 in UTC: the same again later is another one."""
    source: str
    """Who reported it."""
    status: str
    labels: dict[str, str]
    annotations: dict[str, str]
    link: str
    received: str
    closed: str | None = None

    @property
    def name(self) -> str:
        """What it is called: the label `alertname`."""
        return self.labels.get("alertname", self.fingerprint)

    @property
    def key(self) -> str:
        """By what a trigger's evidence names it."""
        return f"{self.fingerprint} {self.starts_at}"

    @property
    def shown(self) -> dict[str, Any]:
        """What a trigger keeps of it as evidence."""
        kept = ("source", "starts_at", "labels", "annotations", "link")
        return {"key": self.key, **{name: getattr(self, name) for name in kept}}


class Reports(Database):
    """What other systems say of a product."""

    def report(self, came: Sequence[Report]) -> tuple[int, int]:
        """Write what came; the same again changes nothing, and what is closed stays so.

        Returns:
            How many are new, and how many were closed by this.
        """
        new = closed = 0
        with self.alone("reports") as tx:
            for one in came:
                same = (
                    (reports.c.pipeline == one.pipeline)
                    & (reports.c.fingerprint == one.fingerprint)
                    & (reports.c.starts_at == one.starts_at)
                )
                row = tx.execute(sa.select(reports.c.status).where(same)).one_or_none()
                if row is None:
                    tx.execute(reports.insert().values(asdict(one)))
                    new += 1
                elif row.status == OPEN and one.status == CLOSED:
                    tx.execute(
                        reports.update().where(same).values(status=CLOSED, closed=one.closed)
                    )
                    closed += 1
        return new, closed

    def reports(self, pipeline: str | None = None) -> list[Report]:
        """Give what was reported, oldest first; of one pipeline, or of all."""
        columns = (reports.c[field.name] for field in fields(Report))
        wanted = sa.select(*columns).order_by(reports.c.received, *reports.primary_key.columns)
        if pipeline is not None:
            wanted = wanted.where(reports.c.pipeline == pipeline)
        with self.transaction() as tx:
            return records(Report, tx.execute(wanted))

    def unheeded(self, pipeline: str) -> list[Report]:
        """Give those that are open and that no trigger names, oldest first."""
        with self.transaction() as tx:
            named = keys(tx, pipeline)
        return [
            one for one in self.reports(pipeline) if one.status == OPEN and one.key not in named
        ]

    def forget_reports(self, until: datetime, *, dry: bool = False) -> int:
        """Take away what was closed before a moment, or only count it; give how many.

        What triggers heeded stays in their evidence.
        """
        at = sa.func.coalesce(reports.c.closed, reports.c.received)
        old = (reports.c.status == CLOSED) & (at < until.isoformat())
        with self.alone("reports") as tx:
            return forget(tx, reports, old, dry=dry)


def keys(tx: sa.Connection, pipeline: str) -> dict[str, str]:
    """Give the keys of the reports that triggers name, each with the first trigger's id."""
    wanted = sa.select(triggers.c.id, triggers.c.evidence).where(triggers.c.pipeline == pipeline)
    found: dict[str, str] = {}
    for row in tx.execute(wanted.order_by(triggers.c.created, triggers.c.id)):
        for one in row.evidence.get("reports", ()):
            found.setdefault(one["key"], row.id)
    return found
