"""Champion heads, and the append-only log of how they changed."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

import sqlalchemy as sa

from ml_tasks.errors import PromotionLostError
from ml_tasks.io.database import Database, now
from ml_tasks.io.schema import audit, heads

GENESIS = "0" * 64


@dataclass(frozen=True, slots=True)
class Head:
    """The champion of a pipeline."""

    pipeline: str
    version: str
    run: str
    verdict_uri: str
    since: str


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


class Champions(Database):
    """Which version serves, by compare-and-set."""

    def champion(self, pipeline: str) -> Head | None:
        """Give the champion, if there is one."""
        with self.transaction() as tx:
            row = tx.execute(sa.select(heads).where(heads.c.pipeline == pipeline)).one_or_none()
        return None if row is None else Head(**row._mapping)

    def promote(
        self,
        pipeline: str,
        version: str,
        *,
        expected: str | None,
        run: str,
        verdict_uri: str,
        who: str,
        why: str,
    ) -> Head:
        """Make a version champion if the champion is still the one it was judged against.

        Args:
            pipeline: The product.
            version: The version to promote.
            expected: The champion that the verdict was judged against; `None` for no champion.
            run: The run that asks; asking again for the same version changes nothing.
            verdict_uri: The verdict that allows it.
            who: Who or what promotes.
            why: The reason, for the audit log.

        Raises:
            PromotionLostError: Another version became champion meanwhile.
        """
        new = {"version": version, "run": run, "verdict_uri": verdict_uri, "since": now()}
        with self.alone("heads and audit") as tx:
            row = tx.execute(sa.select(heads).where(heads.c.pipeline == pipeline)).one_or_none()
            if row is not None and (row.version, row.run) == (version, run):
                return Head(**row._mapping)
            current = None if row is None else row.version
            if current != expected:
                raise PromotionLostError(
                    f"{pipeline} version {version} was judged against champion {expected}, but "
                    f"{current} is champion"
                    + (f" since {row.since} by run {row.run}" if row else "")
                    + "; train or judge again"
                )
            if row is None:
                tx.execute(heads.insert().values(pipeline=pipeline, **new))
            else:
                tx.execute(heads.update().where(heads.c.pipeline == pipeline).values(**new))
            detail = {"version": version, "before": current, "run": run, "verdict": verdict_uri}
            self._append(tx, pipeline, "promote", who, why, detail)
        return Head(pipeline=pipeline, **new)

    def _append(
        self,
        tx: sa.Connection,
        pipeline: str,
        action: str,
        who: str,
        why: str,
        detail: dict[str, Any],
    ) -> None:
        last = tx.execute(sa.select(audit).order_by(audit.c.number.desc()).limit(1)).one_or_none()
        entry = AuditEntry(
            number=1 if last is None else last.number + 1,
            pipeline=pipeline,
            action=action,
            who=who,
            why=why,
            detail=detail,
            at=now(),
            previous=GENESIS if last is None else last.hash,
            hash="",
        )
        tx.execute(audit.insert().values(**{**asdict(entry), "hash": _entry_hash(entry)}))

    def audit(self, pipeline: str | None = None) -> list[AuditEntry]:
        """Give the audit log, oldest first; of one pipeline, or of all."""
        wanted = sa.select(audit).order_by(audit.c.number)
        if pipeline is not None:
            wanted = wanted.where(audit.c.pipeline == pipeline)
        with self.transaction() as tx:
            return [AuditEntry(**row._mapping) for row in tx.execute(wanted)]

    def verify_audit(self) -> int | None:
        """Give the number of the first entry that does not fit the chain, or `None`."""
        previous = GENESIS
        for position, entry in enumerate(self.audit(), start=1):
            fits = (
                entry.number == position
                and entry.previous == previous
                and entry.hash == _entry_hash(entry)
            )
            if not fits:
                return entry.number
            previous = entry.hash
        return None


def _entry_hash(entry: AuditEntry) -> str:
    content = {k: v for k, v in asdict(entry).items() if k != "hash"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
