"""The append-only log of what people and runs decided; each entry's hash covers the one before."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ml_tasks.io.database import Database, now, records
from ml_tasks.io.schema import audit, heads
from ml_tasks.result import Window

if TYPE_CHECKING:
    from collections.abc import Sequence

GENESIS = "0" * 64
PROMOTE, ROLLBACK = MOVES = ("promote", "rollback")
"""Actions that make a version champion; `detail` then names version, run and verdict."""
COVERED = "covered"
"""In the detail of a person's rollback: up to when windows were in."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One line of the append-only log; `hash` covers the entry and the one before."""

    number: int
    pipeline: str
    action: str
    who: str
    why: str
    detail: dict[str, Any]
    at: str
    previous: str
    hash: str

    @property
    def window(self) -> str | None:
        """The window whose evidence brought this rollback; `None` of all else."""
        return self.detail.get("window") if self.action == ROLLBACK else None


@dataclass(frozen=True, slots=True)
class Flaw:
    """Where the log is not what was written, and how that shows."""

    number: int
    what: str


class Audit(Database):
    """What was decided, by whom and why."""

    def append_audit(
        self,
        tx: sa.Connection,
        pipeline: str,
        action: str,
        who: str,
        why: str,
        detail: dict[str, Any],
    ) -> AuditEntry:
        """Write an entry within a transaction that is alone on `heads and audit`."""
        last = tx.execute(sa.select(audit).order_by(audit.c.number.desc()).limit(1)).one_or_none()
        entry: dict[str, Any] = {
            "number": 1 if last is None else last.number + 1,
            "pipeline": pipeline,
            "action": action,
            "who": who,
            "why": why,
            "detail": detail,
            "at": now(),
            "previous": GENESIS if last is None else last.hash,
        }
        made = AuditEntry(**entry, hash=_hash(entry))
        tx.execute(audit.insert().values(**asdict(made)))
        return made

    def audit(self, pipeline: str | None = None) -> list[AuditEntry]:
        """Give the audit log, oldest first; of one pipeline, or of all."""
        with self.transaction() as tx:
            return audited(tx, pipeline)

    def verify_audit(self) -> Flaw | None:
        """Give the first entry that is not what was written, or `None`.

        The chain shows what was changed, put in or taken out of its middle; the champions show
        what was cut off its end.
        """
        with self.transaction() as tx:
            entries = audited(tx)
            standing = dict(tx.execute(sa.select(heads.c.pipeline, heads.c.version)).all())
        previous = GENESIS
        for position, entry in enumerate(entries, start=1):
            if entry.number != position:
                return Flaw(entry.number, f"number {position} was to follow: entries are missing")
            if entry.previous != previous:
                return Flaw(entry.number, "it does not follow from the entry before")
            content = {k: v for k, v in asdict(entry).items() if k != "hash"}
            if entry.hash != _hash(content):
                return Flaw(entry.number, "its hash is not that of its content")
            previous = entry.hash
        return _unaccounted(entries, standing)


def rolled_back(entries: Sequence[AuditEntry]) -> datetime | None:
    """Give up to when windows were in at the last rollback: a monitor's own, or all of them."""
    ends = [Window.parse(entry.window).end for entry in entries if entry.window]
    known = [str(entry.detail[COVERED]) for entry in entries if entry.detail.get(COVERED)]
    return max([*ends, *map(datetime.fromisoformat, known)], default=None)


def audited(tx: sa.Connection, pipeline: str | None = None) -> list[AuditEntry]:
    """Give the log as a transaction sees it, oldest first."""
    wanted = sa.select(audit).order_by(audit.c.number)
    if pipeline is not None:
        wanted = wanted.where(audit.c.pipeline == pipeline)
    return records(AuditEntry, tx.execute(wanted))


def _unaccounted(entries: list[AuditEntry], standing: dict[str, str]) -> Flaw | None:
    """Give a champion that the log does not know of, or knows as another version."""
    moved = {e.pipeline: str(e.detail["version"]) for e in entries if e.action in MOVES}
    for pipeline in sorted(moved.keys() | standing.keys()):
        told, head = moved.get(pipeline), standing.get(pipeline)
        if told != head:
            what = f"after it champion of {pipeline} is version {told}, but {head} stands there"
            return Flaw(entries[-1].number if entries else 0, what)
    return None


def _hash(content: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
