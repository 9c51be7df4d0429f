"""Champion heads: which version serves, and how that changes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ml_tasks.errors import PromotionLostError
from ml_tasks.io.audit import MOVES, PROMOTE, ROLLBACK, Audit, audited
from ml_tasks.io.database import now, records
from ml_tasks.io.schema import heads

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

    from ml_tasks.io.audit import AuditEntry


@dataclass(frozen=True, slots=True)
class Head:
    """The champion of a pipeline."""

    pipeline: str
    version: str
    run: str
    verdict_uri: str
    since: str


@dataclass(frozen=True, slots=True)
class Succession:
    """A promotion by which one champion took the place of another."""

    number: int
    """Of its entry in the audit log."""
    new: Head
    before: Head

    def rival(self, head: Head) -> Head | None:
        """Give the other one of the two, where one of them is champion."""
        others = {self.new.version: self.before, self.before.version: self.new}
        return others.get(head.version)


class Champions(Audit):
    """Which version serves, by compare-and-set."""

    def champion(self, pipeline: str) -> Head | None:
        """Give the champion, if there is one."""
        with self.transaction() as tx:
            row = tx.execute(sa.select(heads).where(heads.c.pipeline == pipeline)).one_or_none()
        return None if row is None else Head(**row._mapping)

    def champions(self) -> dict[str, Head]:
        """Give the champion of each pipeline that has one."""
        with self.transaction() as tx:
            found = records(Head, tx.execute(sa.select(heads)))
        return {head.pipeline: head for head in found}

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
            PromotionLostError: Another version became champion meanwhile, or this very promotion
                was made before and another version was put in its place.
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
            _refuse_again(audited(tx, pipeline), version, run)
            if row is None:
                tx.execute(heads.insert().values(pipeline=pipeline, **new))
            else:
                tx.execute(heads.update().where(heads.c.pipeline == pipeline).values(**new))
            detail = {"version": version, "before": current, "run": run, "verdict": verdict_uri}
            self.append_audit(tx, pipeline, PROMOTE, who, why, detail)
        return Head(pipeline=pipeline, **new)

    def rollback(
        self, to: Head, *, seen: Head, who: str, why: str, evidence: Mapping[str, Any] = {}
    ) -> AuditEntry:
        """Make a version champion that is not the newest, if the champion is still the one seen.

        Args:
            to: The version, with the run that made it and the verdict that it passed.
            seen: The champion that it takes the place of.
            who: Who or what decides so.
            why: The reason, for the audit log.
            evidence: What it stands on, for the audit log.

        Raises:
            PromotionLostError: The champion changed meanwhile; says by whom.
        """
        pipeline = seen.pipeline
        with self.alone("heads and audit") as tx:
            row = tx.execute(sa.select(heads).where(heads.c.pipeline == pipeline)).one_or_none()
            if row is None or Head(**row._mapping) != seen:
                entry = next(e for e in reversed(audited(tx, pipeline)) if e.action in MOVES)
                raise PromotionLostError(
                    f"{pipeline}: version {to.version} was to take the place of {seen.version}, "
                    f"but {entry.detail['version']} is champion since {entry.at} by {entry.action} "
                    f"of {entry.who}: {entry.why}; look at it, and ask again if it is to go"
                )
            new = {"version": to.version, "run": to.run, "verdict_uri": to.verdict_uri}
            tx.execute(
                heads.update().where(heads.c.pipeline == pipeline).values(**new, since=now())
            )
            detail = {
                "version": to.version,
                "before": seen.version,
                "run": to.run,
                "verdict": to.verdict_uri,
                **evidence,
            }
            return self.append_audit(tx, pipeline, ROLLBACK, who, why, detail)


def line(entries: Sequence[AuditEntry], *, withdrawn: bool = False) -> list[Head]:
    """Give the champions that stand behind each other by a pipeline's log, today's last.

    What a rollback went back over is left out, until it is champion again: the next rollback goes
    back further, not to and fro.

    Args:
        entries: The log, oldest first.
        withdrawn: Give those, too.
    """
    found: dict[str, Head] = {}
    gone: set[str] = set()
    for entry in entries:
        if entry.action not in MOVES:
            continue
        told = entry.detail
        head = Head(entry.pipeline, told["version"], told["run"], told["verdict"], entry.at)
        if entry.action == PROMOTE:
            found.pop(head.version, None)
        elif head.version in found:
            order = list(found)
            gone.update(order[order.index(head.version) + 1 :])
        else:
            gone.add(told["before"])
        gone.discard(head.version)
        found.setdefault(head.version, head)
    return [head for version, head in found.items() if withdrawn or version not in gone]


def succession(entries: Sequence[AuditEntry]) -> Succession | None:
    """Give the newest promotion of a pipeline's log that had a champion before it."""
    been = {head.version: head for head in line(entries, withdrawn=True)}
    for entry in reversed(entries):
        before = entry.detail.get("before")
        if entry.action == PROMOTE and before is not None:
            return Succession(entry.number, been[entry.detail["version"]], been[before])
    return None


def _refuse_again(entries: Sequence[AuditEntry], version: str, run: str) -> None:
    """Refuse what was champion once: a retry knows nothing of the rollback that came after."""
    moves = [entry for entry in entries if entry.action in MOVES]
    if any((e.detail["version"], e.detail["run"]) == (version, run) for e in moves):
        last = moves[-1]
        raise PromotionLostError(
            f"{last.pipeline} version {version} was champion by run {run} before, and "
            f"{last.detail['version']} is since {last.at} by {last.action} of {last.who}: "
            f"{last.why}; a retry does not undo that: perennial rollback --to {version}, or a "
            "training of its own"
        )
