"""Leases: who may publish what."""

from __future__ import annotations

import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ml_tasks.errors import LeaseHeldError, LeaseLostError
from ml_tasks.io.database import Database, clock
from ml_tasks.io.schema import leases
from ml_tasks.io.turns import check

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager

    from ml_tasks.context import Context, Turn


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to publish one thing; `token` grows with each change of hands."""

    control: Database
    resource: str
    holder: str
    attempt: int
    token: int
    took_over: bool
    """The holder before never gave it back: it may still be about to publish."""
    turn: Turn | None = None

    def check(self) -> None:
        """Make sure that the lease is still held.

        Raises:
            LeaseLostError: Another process, attempt or run has taken it.
        """
        with self.control.transaction() as tx:
            self.check_within(tx)

    def check_within(self, tx: sa.Connection) -> None:
        """Make sure of it until the transaction ends: what it writes is written by the holder.

        Raises:
            LeaseLostError: Another process, attempt or run has taken it.
        """
        wanted = sa.select(leases).where(leases.c.resource == self.resource).with_for_update()
        row = tx.execute(wanted).one()
        if self.turn is not None:
            check(tx, self.turn)
        if row.token != self.token or row.released:
            raise LeaseLostError(
                f"lease lost: {self.resource} is with {row.holder}, attempt {row.attempt}; "
                f"{self.holder}, attempt {self.attempt} changes nothing"
            )


class Leases(Database):
    """The right to publish one thing, for one holder at a time."""

    def lease_for(
        self, context: Context, resource: str, *, wait: float
    ) -> AbstractContextManager[Lease]:
        """Hold a lease as this process of this attempt of a task, as `lease` does."""
        return self.lease(
            resource,
            holder=context.holder,
            attempt=context.attempt,
            turn=context.turn,
            wait=wait,
        )

    @contextmanager
    def lease(
        self,
        resource: str,
        *,
        holder: str,
        attempt: int,
        turn: Turn | None = None,
        seconds: float = 600,
        wait: float = 0,
    ) -> Iterator[Lease]:
        """Hold a lease for the length of a block.

        A later attempt of the same holder takes it at once, as do a process that began later on the
        same attempt, and anybody after it expired.

        Args:
            resource: What is to be made visible.
            holder: Pipeline, run and task.
            attempt: Number of the task's try.
            turn: Which process of the attempt wants it.
            seconds: After so long without being given back, others may take it.
            wait: How many seconds to wait for another holder.

        Raises:
            LeaseHeldError: Another run holds it.
            LeaseLostError: A later attempt of the same task has had it, or a process began later.
        """
        limit = time.monotonic() + wait
        while True:
            try:
                lease = self._take(resource, holder, attempt, turn, seconds)
                break
            except LeaseHeldError:
                if time.monotonic() >= limit:
                    raise
                time.sleep(0.1)
        settled = False
        try:
            yield lease
            settled = True
        finally:
            # Who took it over and failed may not have moved the table: the holder before could
            # still publish, so the next one has to take it over as well.
            if settled or not lease.took_over:
                self._give_back(lease)

    def running(self) -> set[tuple[str, str]]:
        """Give pipeline and run of each task that holds a lease now; others hold some, too."""
        with self.transaction() as tx:
            held = sa.select(leases.c.holder).where(
                ~leases.c.released, leases.c.expires > clock(tx)
            )
            told = [row.holder.split("/") for row in tx.execute(held)]
        # As `Context.holder` writes it: pipeline, run and task.
        return {(one[0], one[1]) for one in told if len(one) == 3}

    def _give_back(self, lease: Lease) -> None:
        with self.transaction() as tx:
            tx.execute(
                leases.update()
                .where(leases.c.resource == lease.resource, leases.c.token == lease.token)
                .values(released=True)
            )

    def _take(
        self, resource: str, holder: str, attempt: int, turn: Turn | None, seconds: float
    ) -> Lease:
        wanted = {"holder": holder, "attempt": attempt, "released": False}
        with self.alone(f"lease {resource}") as tx:
            now = clock(tx)
            wanted["expires"] = now + seconds
            row = tx.execute(
                sa.select(leases).where(leases.c.resource == resource).with_for_update()
            ).one_or_none()
            if turn is not None:
                check(tx, turn)
            if row is None:
                tx.execute(leases.insert().values(resource=resource, token=1, **wanted))
                return Lease(self, resource, holder, attempt, 1, took_over=False, turn=turn)
            same = row.holder == holder
            if same and row.attempt > attempt:
                raise LeaseLostError(
                    f"lease lost: {resource} has been with attempt {row.attempt} of {holder}; "
                    f"attempt {attempt} changes nothing"
                )
            held = not row.released and row.expires > now and not same
            if held:
                # Taken before the clock was set back: it lasts no longer than any other.
                values = {"expires": min(row.expires, now + seconds)}
            else:
                values = {"token": row.token + 1, **wanted}
            tx.execute(leases.update().where(leases.c.resource == resource).values(**values))
        if held:
            raise LeaseHeldError(
                f"{resource}: {row.holder}, attempt {row.attempt} is publishing it now; "
                "wait for that run, or stop it"
            )
        return Lease(
            self, resource, holder, attempt, row.token + 1, took_over=not row.released, turn=turn
        )
