"""What people are told: each alert once by each channel, kept until it was sent."""

from __future__ import annotations

import hashlib
import json
import uuid
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ml_tasks.io.database import Database, clock, forget, now, records
from ml_tasks.io.schema import sent

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

WAITING, SENT, GIVEN_UP = STATES = ("waiting", "sent", "given up")
CLAIM_SECONDS = 300.0
"""So long nobody else sends what somebody has taken; longer than any channel may take."""
FIRST_PAUSE, LONGEST_PAUSE = 20.0, 3600.0
TRIES = 30
"""After so many, a day or so, what could not be sent is given up."""
LONGEST_FAULT = 500
NO_WORD = f"taken {TRIES} times, and nobody came to say at last whether it was sent"


@dataclass(frozen=True, kw_only=True, slots=True)
class Sent:
    """One alert by one channel."""

    id: str
    pipeline: str
    kind: str
    channel: str
    content: dict[str, Any]
    state: str
    tries: int
    fault: str | None
    """Why the last try did not come to its end."""
    created: str
    sent: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class Taken:
    """One that its holder is to send, and nobody else meanwhile."""

    id: str
    kind: str
    channel: str
    content: dict[str, Any]
    tries: int
    """This one among them."""
    unsure: bool
    """Whoever had it before never said what became of it: it may have been sent."""
    holder: str


class Outbox(Database):
    """Alerts on their way out.

    What is to be sent is written first, then taken by one sender, then sent, then marked. Who dies
    before the mark leaves it taken; after `CLAIM_SECONDS` another sends it, and says that it may
    come twice. So nothing is lost, and nothing doubled unsaid.
    """

    def post(
        self, pipeline: str, kind: str, key: str, channels: Sequence[str], content: dict[str, Any]
    ) -> int:
        """Write an alert for each channel, once; give for how many it is new.

        Args:
            pipeline: The product.
            kind: What happened.
            key: What makes it this alert and no other; equal ones are one.
            channels: Names of those by which it is to be sent.
            content: What is to be said.
        """
        fingerprint = hashlib.sha256(key.encode()).hexdigest()
        new = 0
        with self.alone(f"sent {pipeline}") as tx:
            for channel in channels:
                names = json.dumps([pipeline, kind, fingerprint, channel])
                identity = hashlib.sha256(names.encode()).hexdigest()[:16]
                if tx.execute(sa.select(sent.c.id).where(sent.c.id == identity)).first():
                    continue
                tx.execute(
                    sent.insert().values(
                        id=identity,
                        pipeline=pipeline,
                        kind=kind,
                        fingerprint=fingerprint,
                        channel=channel,
                        content=content,
                        state=WAITING,
                        tries=0,
                        not_before=0.0,
                        created=now(),
                    )
                )
                new += 1
        return new

    def take(self, pipeline: str) -> Taken | None:
        """Take the oldest that is due, for `CLAIM_SECONDS`; `None` where none is.

        Who dies while sending puts nothing back: what was taken too often is given up here.
        """
        holder = uuid.uuid4().hex
        with self.transaction() as tx:
            at = clock(tx)
            worn = _due(pipeline, at) & (sent.c.tries >= TRIES)
            tx.execute(sent.update().where(worn).values(state=GIVEN_UP, holder=None, fault=NO_WORD))
            due = sa.select(sent).where(_due(pipeline, at)).order_by(sent.c.created, sent.c.id)
            row = tx.execute(due.limit(1).with_for_update(skip_locked=True)).one_or_none()
            if row is None:
                return None
            tx.execute(
                sent.update()
                .where(sent.c.id == row.id)
                .values(holder=holder, not_before=at + CLAIM_SECONDS, tries=row.tries + 1)
            )
        return Taken(
            id=row.id,
            kind=row.kind,
            channel=row.channel,
            content=row.content,
            tries=row.tries + 1,
            unsure=row.holder is not None,
            holder=holder,
        )

    def sent_off(self, taken: Taken) -> None:
        """Mark what was sent."""
        self._mark(taken, state=SENT, sent=now(), fault=None)

    def put_back(self, taken: Taken, fault: str) -> None:
        """Leave what could not be sent to a later try, ever later; after `TRIES` give it up."""
        pause = min(FIRST_PAUSE * 2 ** (taken.tries - 1), LONGEST_PAUSE)
        state = GIVEN_UP if taken.tries >= TRIES else WAITING
        self._mark(taken, state=state, fault=fault[:LONGEST_FAULT], pause=pause)

    def _mark(self, taken: Taken, *, pause: float = 0.0, **values: Any) -> None:
        with self.transaction() as tx:
            own = (sent.c.id == taken.id) & (sent.c.holder == taken.holder)
            until = clock(tx) + pause
            tx.execute(sent.update().where(own).values(holder=None, not_before=until, **values))

    def due(self, pipeline: str) -> list[str]:
        """Give the ids of those that wait for somebody to send them."""
        with self.transaction() as tx:
            wanted = sa.select(sent.c.id).where(_due(pipeline, clock(tx)))
            return list(tx.execute(wanted.order_by(sent.c.created, sent.c.id)).scalars())

    def sent(self, pipeline: str | None = None) -> list[Sent]:
        """Give alerts, oldest first; of one pipeline, or of all."""
        columns = (sent.c[field.name] for field in fields(Sent))
        wanted = sa.select(*columns).order_by(sent.c.created, sent.c.id)
        if pipeline is not None:
            wanted = wanted.where(sent.c.pipeline == pipeline)
        with self.transaction() as tx:
            return records(Sent, tx.execute(wanted))

    def forget_sent(self, until: datetime, *, dry: bool = False) -> int:
        """Take away what was sent before a moment, or posted before it and given up; give how many.

        An equal alert is a new one then. With `dry` they are only counted.
        """
        at = sa.func.coalesce(sent.c.sent, sent.c.created)
        old = (sent.c.state != WAITING) & (at < until.isoformat())
        with self.transaction() as tx:
            return forget(tx, sent, old, dry=dry)


def _due(pipeline: str, at: float) -> sa.ColumnElement[bool]:
    return (sent.c.pipeline == pipeline) & (sent.c.state == WAITING) & (sent.c.not_before <= at)
