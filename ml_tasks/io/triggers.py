"""The trigger ledger: each wish to train, once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ml_tasks.config import limits
from ml_tasks.errors import LimitError, NothingToDo
from ml_tasks.io.audit import audited, rolled_back
from ml_tasks.io.database import Database, finite, now
from ml_tasks.io.reports import keys
from ml_tasks.io.schema import LONGEST_OUTCOME, triggers
from ml_tasks.result import Window

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import timedelta

    from ml_tasks.config import Retraining
    from ml_tasks.io.leases import Lease

ASKED, CLAIMED, DONE = STATES = ("asked", "claimed", "done")


@dataclass(frozen=True, slots=True)
class Trigger:
    """A request to train, written once."""

    id: str
    pipeline: str
    cause: str
    window: str
    who: str
    evidence: dict[str, Any]
    state: str
    run: str | None
    outcome: str | None
    created: str

    @property
    def replays(self) -> str | None:
        """The trigger that a person asked for once more by this one; `None` of all others."""
        found: str | None = self.evidence.get("replays")
        return found


class Triggers(Database):
    """Who asked for which window, on what evidence, and what became of it."""

    def ask(
        self,
        pipeline: str,
        cause: str,
        window: str,
        *,
        who: str,
        evidence: dict[str, Any],
        replay: str | None = None,
        within: Retraining | None = None,
        lease: Lease | None = None,
    ) -> tuple[Trigger, bool]:
        """Write a trigger once.

        Args:
            pipeline: The product.
            cause: What asks.
            window: What is to be learned from.
            who: Run or person.
            evidence: Why.
            replay: Names a wish to train on the same once more.
            within: Limits that hold for one that policies want. They are looked at by one asker
                after the other: those who ask at once do not exceed them together.
            lease: A task's right to ask; `None` for who is no task.

        Returns:
            The trigger, and whether this call wrote it. The same pipeline, cause and window give
            the same trigger again. A report that the evidence names is a reason once: where a
            trigger names it already, that is given.

        Raises:
            LimitError: One of the limits is in the way of a trigger that would be new.
            LeaseLostError: Another attempt or run has the lease.
        """
        names = {"pipeline": pipeline, "cause": cause, "window": window, "replay": replay or ""}
        identity = hashlib.sha256(json.dumps(names, sort_keys=True).encode()).hexdigest()[:16]
        told = [] if replay else [one["key"] for one in evidence.get("reports", ())]
        with self.alone(f"triggers {pipeline}") as tx:
            if lease is not None:
                lease.check_within(tx)
            row = tx.execute(sa.select(triggers).where(triggers.c.id == identity)).one_or_none()
            before = keys(tx, pipeline) if told and row is None else {}
            if heeded := next((before[key] for key in told if key in before), None):
                identity = heeded
            elif row is None:
                if within is not None:
                    _hold(tx, pipeline, window, within)
                told_by = {"who": who, "evidence": finite(evidence), "created": now()}
                tx.execute(triggers.insert().values(id=identity, state=ASKED, **told_by, **names))
        return self.trigger(identity), row is None and heeded is None

    def claim(self, trigger: str, run: str, lease: Lease | None = None) -> Trigger:
        """Take a trigger for a run; the same run may take it again, also after it ended.

        Args:
            trigger: Its id.
            run: Who takes it.
            lease: A task's right to take it; `None` for who is no task.

        Raises:
            NothingToDo: Another run has it.
            LeaseLostError: Another attempt has the lease.
        """
        with self.transaction() as tx:
            if lease is not None:
                lease.check_within(tx)
            row = tx.execute(
                sa.select(triggers).where(triggers.c.id == trigger).with_for_update()
            ).one_or_none()
            if row is None:
                raise NothingToDo(f"trigger {trigger!r}: the ledger has none of that id")
            if row.run not in (None, run):
                raise NothingToDo(f"trigger {trigger}: run {row.run} has it ({row.state})")
            tx.execute(
                triggers.update().where(triggers.c.id == trigger).values(state=CLAIMED, run=run)
            )
        return self.trigger(trigger)

    def finish(self, trigger: str, outcome: str) -> None:
        """Say what became of a trigger, in as many words as there is room for."""
        outcome = outcome[:LONGEST_OUTCOME]
        with self.transaction() as tx:
            tx.execute(
                triggers.update()
                .where(triggers.c.id == trigger)
                .values(state=DONE, outcome=outcome)
            )

    def trigger(self, identity: str) -> Trigger:
        """Give a trigger by its id.

        Raises:
            NothingToDo: The ledger has none of that id.
        """
        with self.transaction() as tx:
            row = tx.execute(sa.select(triggers).where(triggers.c.id == identity)).one_or_none()
        if row is None:
            raise NothingToDo(f"trigger {identity!r}: the ledger has none of that id")
        return _trigger(row)

    def triggers(self, pipeline: str | None = None) -> list[Trigger]:
        """Give the triggers, oldest first; of one pipeline, or of all."""
        wanted = sa.select(triggers).order_by(triggers.c.created, triggers.c.id)
        if pipeline is not None:
            wanted = wanted.where(triggers.c.pipeline == pipeline)
        with self.transaction() as tx:
            return [_trigger(row) for row in tx.execute(wanted)]

    def unclaimed(self, pipeline: str, older: timedelta) -> list[Trigger]:
        """Give those that nobody took for some time, oldest first: their event may be lost."""
        until = datetime.now(UTC) - older
        return [
            trigger
            for trigger in self.triggers(pipeline)
            if trigger.state == ASKED and datetime.fromisoformat(trigger.created) <= until
        ]

    def replay(self, trigger: str, *, who: str, why: str) -> Trigger:
        """Ask once more, on purpose, for what a trigger asked for; a trigger with its own id.

        One that was asked for so before and that nobody has claimed yet is given again: two people,
        or a call that was killed and comes again, are one wish.

        Raises:
            NothingToDo: The ledger has none of that id.
        """
        asked = self.trigger(trigger)
        before = [t for t in self.triggers(asked.pipeline) if t.replays == trigger]
        waiting = [one for one in before if one.state == ASKED]
        if waiting:
            return waiting[-1]
        made, _new = self.ask(
            asked.pipeline,
            asked.cause,
            asked.window,
            who=who,
            evidence={**asked.evidence, "why": why, "replays": trigger},
            replay=f"{trigger} {len(before) + 1}",
        )
        return made


def by_policies(found: Iterable[Trigger]) -> dict[str, list[datetime]]:
    """Give the window ends of the trainings that policies asked for, by cause.

    What a person asks for once more is none of them: it takes nothing of the policies' budget.
    """
    ends: dict[str, list[datetime]] = {cause: [] for cause in limits.DECIDERS}
    for trigger in found:
        if trigger.cause in ends and trigger.replays is None:
            ends[trigger.cause].append(Window.parse(trigger.window).end)
    return ends


def _hold(tx: sa.Connection, pipeline: str, window: str, within: Retraining) -> None:
    """Hold a training that policies want against its limits, as a transaction sees them.

    Raises:
        LimitError: One is in the way.
    """
    end = Window.parse(window).end
    rows = tx.execute(sa.select(triggers).where(triggers.c.pipeline == pipeline))
    asked = by_policies(_trigger(row) for row in rows)
    taken = [at for ends in asked.values() for at in ends]
    against = limits.against(within, end, taken, rolled_back(audited(tx, pipeline)))
    if against is not None:
        raise LimitError(against)


def _trigger(row: sa.Row[Any]) -> Trigger:
    values = dict(row._mapping)
    del values["replay"]
    return Trigger(**values)
