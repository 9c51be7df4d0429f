"""The control database: what must be true exactly once."""

from __future__ import annotations

import hashlib
import json
import time
import uuid
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import sqlalchemy as sa

from ml_tasks.errors import (
    BackendError,
    LeaseHeldError,
    LeaseLostError,
    NothingToDo,
    PromotionLostError,
)
from ml_tasks.io.schema import audit, heads, leases, triggers

if TYPE_CHECKING:
    from collections.abc import Iterator

MIGRATIONS = Path(__file__).resolve().parent.parent / "migrations"
GENESIS = "0" * 64
BUSY_SECONDS = 30


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


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to publish one thing; `token` grows with each change of hands."""

    control: Control
    resource: str
    holder: str
    attempt: int
    token: int
    took_over: bool
    """The holder before never gave it back: it may still be about to publish."""

    def check(self) -> None:
        """Make sure that the lease is still held.

        Raises:
            LeaseLostError: Another attempt or run has taken it.
        """
        with self.control.transaction() as tx:
            row = tx.execute(sa.select(leases).where(leases.c.resource == self.resource)).one()
        if row.token != self.token or row.released:
            raise LeaseLostError(
                f"lease lost: {self.resource} is with {row.holder}, attempt {row.attempt}; "
                f"{self.holder}, attempt {self.attempt} changes nothing"
            )


class Control:
    """Leases, triggers, champion heads and the audit log in SQLite or Postgres."""

    def __init__(self, url: str) -> None:
        """Remember the address; nothing is opened yet.

        Args:
            url: SQLAlchemy address, such as `sqlite:////home/me/control.db`.
        """
        self.url = url

    @cached_property
    def engine(self) -> sa.Engine:
        """The engine; transactions begin as writers, which is what fences on SQLite."""
        if not self.url.startswith("sqlite"):
            return sa.create_engine(self.url, pool_pre_ping=True)
        file = sa.make_url(self.url).database
        if file and file != ":memory:":
            _make_folder(Path(file).parent)
        engine = sa.create_engine(
            self.url, poolclass=sa.pool.NullPool, connect_args={"timeout": BUSY_SECONDS}
        )

        @sa.event.listens_for(engine, "connect")
        def _no_implicit_begin(connection: Any, _record: object) -> None:
            connection.isolation_level = None

        @sa.event.listens_for(engine, "begin")
        def _begin_as_writer(connection: sa.Connection) -> None:
            connection.exec_driver_sql("BEGIN IMMEDIATE")

        return engine

    @contextmanager
    def transaction(self) -> Iterator[sa.Connection]:
        """Open one writing transaction.

        Raises:
            BackendError: The database did not answer or stayed locked.
        """
        try:
            with self.engine.begin() as connection:
                yield connection
        except sa.exc.OperationalError as fault:
            raise BackendError(f"control database {self._shown}: {fault.orig}") from fault

    @property
    def _shown(self) -> str:
        return sa.make_url(self.url).render_as_string(hide_password=True)

    def migrate(self) -> None:
        """Bring the schema to the newest version; many may call it at once."""
        from alembic import command
        from alembic.config import Config

        settings = Config()
        settings.set_main_option("script_location", str(MIGRATIONS))
        with self.transaction() as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(sa.text("SELECT pg_advisory_xact_lock(7043225)"))
            settings.attributes["connection"] = connection
            command.upgrade(settings, "head")

    @contextmanager
    def lease(
        self, resource: str, *, holder: str, attempt: int, seconds: float = 600, wait: float = 0
    ) -> Iterator[Lease]:
        """Hold a lease for the length of a block.

        A later attempt of the same holder takes it at once, as does anybody after it expired.

        Args:
            resource: What is to be made visible.
            holder: Run and task.
            attempt: Number of the task's try.
            seconds: After so long without being given back, others may take it.
            wait: How many seconds to wait for another holder.

        Raises:
            LeaseHeldError: Another run holds it.
            LeaseLostError: A later attempt of the same task has had it.
        """
        limit = time.monotonic() + wait
        while True:
            try:
                lease = self._take(resource, holder, attempt, seconds)
                break
            except LeaseHeldError:
                if time.monotonic() >= limit:
                    raise
                time.sleep(0.1)
        try:
            yield lease
        finally:
            with self.transaction() as tx:
                tx.execute(
                    leases.update()
                    .where(leases.c.resource == resource, leases.c.token == lease.token)
                    .values(released=True)
                )

    def _take(self, resource: str, holder: str, attempt: int, seconds: float) -> Lease:
        now = time.time()
        wanted = {"holder": holder, "attempt": attempt, "released": False, "expires": now + seconds}
        with self.transaction() as tx:
            row = tx.execute(
                sa.select(leases).where(leases.c.resource == resource).with_for_update()
            ).one_or_none()
            if row is None:
                tx.execute(leases.insert().values(resource=resource, token=1, **wanted))
                return Lease(self, resource, holder, attempt, 1, took_over=False)
            same = row.holder == holder
            if same and row.attempt > attempt:
                raise LeaseLostError(
                    f"lease lost: {resource} has been with attempt {row.attempt} of {holder}; "
                    f"attempt {attempt} changes nothing"
                )
            if not row.released and row.expires > now and not same:
                raise LeaseHeldError(
                    f"{resource}: {row.holder}, attempt {row.attempt} is publishing it now; "
                    "wait for that run, or stop it"
                )
            tx.execute(
                leases.update()
                .where(leases.c.resource == resource)
                .values(token=row.token + 1, **wanted)
            )
            return Lease(self, resource, holder, attempt, row.token + 1, took_over=not row.released)

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
        with self.transaction() as tx:
            if tx.dialect.name == "postgresql":
                tx.execute(sa.text("LOCK TABLE triggers IN EXCLUSIVE MODE"))
            row = tx.execute(sa.select(triggers).where(triggers.c.id == identity)).one_or_none()
            if row is None:
                tx.execute(
                    triggers.insert().values(
                        id=identity,
                        who=who,
                        evidence=evidence,
                        state="asked",
                        created=_now(),
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
        new = {"version": version, "run": run, "verdict_uri": verdict_uri, "since": _now()}
        with self.transaction() as tx:
            if tx.dialect.name == "postgresql":
                tx.execute(sa.text("LOCK TABLE heads, audit IN EXCLUSIVE MODE"))
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
            at=_now(),
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


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as fault:
        raise BackendError(f"control database: {folder} cannot be made: {fault}") from fault


def _trigger(row: sa.Row[Any]) -> Trigger:
    values = dict(row._mapping)
    del values["replay"]
    return Trigger(**values)


def _entry_hash(entry: AuditEntry) -> str:
    content = {k: v for k, v in asdict(entry).items() if k != "hash"}
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="microseconds")[:-6] + "Z"


def new_replay() -> str:
    """Give a fresh id for a wish to train on the same cause and window once more."""
    return uuid.uuid4().hex[:12]
