"""The trigger ledger: each wish to train, once."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from ml_tasks.errors import NothingToDo
from ml_tasks.io.database import Database, now
from ml_tasks.io.schema import triggers


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
    ) -> tuple[Trigger, bool]:
        """Write a trigger once.

        Returns:
            The trigger, and whether this call wrote it. The same pipeline, cause and window give
            the same trigger again; `replay` names a wish to train on them once more.
        """
        names = {"pipeline": pipeline, "cause": cause, "window": window, "replay": replay or ""}
        identity = hashlib.sha256(json.dumps(names, sort_keys=True).encode()).hexdigest()[:16]
        with self.alone(f"trigger {identity}") as tx:
            row = tx.execute(sa.select(triggers).where(triggers.c.id == identity)).one_or_none()
            if row is None:
                tx.execute(
                    triggers.insert().values(
                        id=identity,
                        who=who,
                        evidence=evidence,
                        state="asked",
                        created=now(),
                        **names,
                    )
                )
        return self.trigger(identity), row is None

    def claim(self, trigger: str, run: str) -> Trigger:
        """Take a trigger for a run; the same run may take it again, also after it ended.

        Raises:
            NothingToDo: Another run has it.
        """
        with self.transaction() as tx:
            row = tx.execute(
                sa.select(triggers).where(triggers.c.id == trigger).with_for_update()
            ).one_or_none()
            if row is None:
                raise NothingToDo(f"trigger {trigger!r}: the ledger has none of that id")
            if row.run not in (None, run):
                raise NothingToDo(f"trigger {trigger}: run {row.run} has it ({row.state})")
            tx.execute(
                triggers.update().where(triggers.c.id == trigger).values(state="claimed", run=run)
            )
        return self.trigger(trigger)

    def finish(self, trigger: str, outcome: str) -> None:
        """Say what became of a trigger."""
        with self.transaction() as tx:
            tx.execute(
                triggers.update()
                .where(triggers.c.id == trigger)
                .values(state="done", outcome=outcome)
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

    def triggers(self, pipeline: str) -> list[Trigger]:
        """Give a pipeline's triggers, oldest first."""
        wanted = sa.select(triggers).where(triggers.c.pipeline == pipeline)
        with self.transaction() as tx:
            rows = tx.execute(wanted.order_by(triggers.c.created, triggers.c.id)).all()
        return [_trigger(row) for row in rows]


def _trigger(row: sa.Row[Any]) -> Trigger:
    values = dict(row._mapping)
    del values["replay"]
    return Trigger(**values)
