from __future__ import annotations

import contextlib
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from ml_tasks.config import Environment
from ml_tasks.errors import (
    BackendError,
    ConfigError,
    LeaseHeldError,
    LeaseLostError,
    NothingToDo,
    PromotionLostError,
)
from ml_tasks.io import schema
from ml_tasks.io.control import Control, Lease
from ml_tasks.io.lake import Lake

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture
def control(database_url: str) -> Control:
    made = Control(database_url)
    made.migrate()
    return made


def promote(control: Control, version: str, expected: str | None, run: str = "r") -> str:
    head = control.promote(
        "p", version, expected=expected, run=run, verdict_uri="u", who="me", why="better"
    )
    return head.version


def test_migrations_make_the_declared_tables_and_may_run_at_once(database_url: str) -> None:
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: Control(database_url).migrate(), range(8)))
    found = sa.inspect(sa.create_engine(database_url))
    for table in schema.metadata.sorted_tables:
        assert {c["name"] for c in found.get_columns(table.name)} == set(table.columns.keys())


def test_all_of_one_address_share_what_is_compiled(database_url: str) -> None:
    assert Control(database_url).engine is Control(database_url).engine


class TestLease:
    def test_another_run_is_told(self, control: Control) -> None:
        with (
            control.lease("x", holder="a/t", attempt=1),
            pytest.raises(LeaseHeldError, match="x: a/t, attempt 1 is publishing it now"),
            control.lease("x", holder="b/t", attempt=1),
        ):
            pass
        with control.lease("x", holder="b/t", attempt=1) as lease:
            assert not lease.took_over

    def test_a_retry_takes_over_and_the_old_attempt_is_told(self, control: Control) -> None:
        old = control.lease("x", holder="a/t", attempt=1)
        first = old.__enter__()
        first.check()
        with control.lease("x", holder="a/t", attempt=2) as second:
            assert second.took_over
            with pytest.raises(LeaseLostError, match="x is with a/t, attempt 2"):
                first.check()
            old.__exit__(None, None, None)
            second.check()
        with (
            pytest.raises(LeaseLostError, match="attempt 1 changes nothing"),
            control.lease("x", holder="a/t", attempt=1),
        ):
            pass

    def test_an_expired_lease_goes_to_whoever_asks(self, control: Control) -> None:
        kept = control.lease("x", holder="a/t", attempt=1, seconds=-1)
        kept.__enter__()
        with control.lease("x", holder="b/t", attempt=1) as lease:
            assert lease.took_over

    def test_who_took_over_and_failed_leaves_it_to_be_taken_over(self, control: Control) -> None:
        """It may not have moved the table, and the holder before may still be about to publish."""
        kept = control.lease("x", holder="a/t", attempt=1)
        kept.__enter__()
        with (
            pytest.raises(BackendError, match="no table"),
            control.lease("x", holder="a/t", attempt=2),
        ):
            raise BackendError("no table")
        with control.lease("x", holder="a/t", attempt=3) as third:
            assert third.took_over
        with control.lease("x", holder="b/t", attempt=1) as other:
            assert not other.took_over

    def test_a_window_is_completed_by_the_holder_alone(self, control: Control) -> None:
        kept = control.lease("x", holder="a/t", attempt=1)
        first = kept.__enter__()
        with control.lease("x", holder="a/t", attempt=2) as second:
            with pytest.raises(LeaseLostError, match="x is with a/t, attempt 2"):
                control.complete("p", "2013-01-01", "2013-01-08", "zombie", first)
            control.complete("p", "2013-01-01", "2013-01-08", "a", second)
        assert [window.run for window in control.windows("p")] == ["a"]

    def test_a_returned_lease_does_not_check(self, control: Control) -> None:
        with control.lease("x", holder="a/t", attempt=1) as lease:
            pass
        with pytest.raises(LeaseLostError):
            lease.check()

    def test_one_of_many_holds_it_and_the_others_wait(self, control: Control) -> None:
        inside: list[str] = []

        def work(name: str) -> None:
            with control.lease("x", holder=name, attempt=1, wait=30):
                inside.append(name)
                assert len(inside) == 1
                inside.remove(name)

        with ThreadPoolExecutor(6) as pool:
            list(pool.map(work, "abcdef"))
        assert inside == []

    def test_many_take_the_same_one_for_the_first_time(self, control: Control) -> None:
        """Where there is no row yet, there is none to lock."""
        for race in range(20):

            def take(name: str, resource: str = f"new {race}") -> int:
                with control.lease(resource, holder=name, attempt=1, wait=30) as lease:
                    return lease.token

            with ThreadPoolExecutor(6) as pool:
                assert sorted(pool.map(take, "abcdef")) == [1, 2, 3, 4, 5, 6]

    def test_who_checks_holds_it_until_the_transaction_ends(self, control: Control) -> None:
        order: list[str] = []

        def take_over() -> None:
            with control.lease("x", holder="a/t", attempt=2):
                order.append("taken")

        with ThreadPoolExecutor(1) as pool, contextlib.ExitStack() as kept:
            lease = kept.enter_context(control.lease("x", holder="a/t", attempt=1))
            with control.transaction() as tx:
                lease.check_within(tx)
                waiting = pool.submit(take_over)
                time.sleep(0.3)
                order.append("written")
            waiting.result(30)
        assert order == ["written", "taken"]


class TestTriggers:
    def test_the_same_wish_is_one_trigger(self, control: Control) -> None:
        def ask(_: int) -> tuple[str, bool]:
            trigger, new = control.ask("p", "drift", "w", who="me", evidence={"psi": 0.4})
            return trigger.id, new

        with ThreadPoolExecutor(8) as pool:
            answers = list(pool.map(ask, range(16)))
        assert len({identity for identity, _ in answers}) == 1
        assert sum(new for _, new in answers) == 1
        replayed, new = control.ask("p", "drift", "w", who="me", evidence={}, replay="again")
        assert new
        assert [t.id for t in control.triggers("p")] == [answers[0][0], replayed.id]

    def test_evidence_is_what_every_database_takes_as_json(self, control: Control) -> None:
        told = {"gain": float("inf"), "realised": [["w", float("nan")]], "why": "NaN"}
        made, _ = control.ask("p", "monitor", "w", who="me", evidence=told)
        assert made.evidence == {"gain": None, "realised": [["w", None]], "why": "NaN"}

    def test_one_run_claims_it(self, control: Control) -> None:
        trigger, _ = control.ask("p", "drift", "w", who="me", evidence={})
        assert control.claim(trigger.id, "r1").state == "claimed"
        assert control.claim(trigger.id, "r1").run == "r1"
        with pytest.raises(NothingToDo, match="run r1 has it"):
            control.claim(trigger.id, "r2")
        control.finish(trigger.id, "promoted 1")
        assert control.trigger(trigger.id).outcome == "promoted 1"
        with pytest.raises(NothingToDo, match=r"run r1 has it \(done\)"):
            control.claim(trigger.id, "r2")
        assert control.claim(trigger.id, "r1").state == "claimed"

    def test_a_task_that_lost_its_lease_neither_asks_nor_takes(self, control: Control) -> None:
        made, _ = control.ask("p", "drift", "w", who="me", evidence={})
        with (
            control.lease("a", holder="r1/t", attempt=1) as first,
            control.lease("a", holder="r1/t", attempt=2) as second,
        ):
            for cause in ("drift", "schedule"):
                with pytest.raises(LeaseLostError, match="r1/t, attempt 1 changes nothing"):
                    control.ask("p", cause, "w", who="r1", evidence={}, lease=first)
            with pytest.raises(LeaseLostError, match="r1/t, attempt 1 changes nothing"):
                control.claim(made.id, "r1", first)
            assert control.triggers() == [made]
            again, new = control.ask("p", "drift", "w", who="r1", evidence={}, lease=second)
            assert (again, new) == (made, False)
            assert control.claim(made.id, "r1", second).run == "r1"

    @pytest.mark.parametrize("call", ["trigger", "claim"])
    def test_an_unknown_id(self, control: Control, call: str) -> None:
        arguments = ("nope",) if call == "trigger" else ("nope", "r")
        with pytest.raises(NothingToDo, match="the ledger has none of that id"):
            getattr(control, call)(*arguments)


class TestPromotion:
    def test_compare_and_set(self, control: Control) -> None:
        assert control.champion("p") is None
        assert promote(control, "1", None) == "1"
        assert promote(control, "1", None) == "1"
        assert promote(control, "2", "1", "r2") == "2"
        with pytest.raises(PromotionLostError, match=r"version 3 .* champion 1, but 2 is champion"):
            promote(control, "3", "1", "r3")
        assert [e.detail["version"] for e in control.audit("p")] == ["1", "2"]
        head = control.champion("p")
        assert head is not None
        assert head.version == "2"

    def test_one_of_many_wins(self, control: Control) -> None:
        def race(version: int) -> bool:
            try:
                promote(control, str(version), None, f"r{version}")
            except PromotionLostError:
                return False
            return True

        with ThreadPoolExecutor(8) as pool:
            assert sum(pool.map(race, range(16))) == 1
        assert len(control.audit()) == 1


def test_who_stands_still_in_a_transaction_loses_it(
    new_database: Callable[[], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    patience = "-c lock_timeout=30s -c idle_in_transaction_session_timeout=1s"
    monkeypatch.setattr("ml_tasks.io.database.PATIENCE", patience)
    control = Control(new_database())
    control.migrate()

    def stand_still(lease: Lease) -> None:
        with control.transaction() as tx:
            lease.check_within(tx)
            with control.lease("x", holder="a/t", attempt=2) as second:
                assert second.took_over
            lease.check_within(tx)

    with (
        control.lease("x", holder="a/t", attempt=1) as first,
        pytest.raises(BackendError, match="idle-in-transaction timeout"),
    ):
        stand_still(first)


def test_an_address_with_a_schema_keeps_to_it(new_database: Callable[[], str]) -> None:
    """What the address asks for and our own patience both hold."""
    database = new_database()
    with sa.create_engine(database).begin() as connection:
        connection.execute(sa.text("CREATE SCHEMA beside"))
    control = Control(f"{database}?options=-csearch_path%3Dbeside")
    control.migrate()
    promote(control, "1", None, "r1")
    with control.transaction() as tx:
        assert tx.execute(sa.text("SHOW lock_timeout")).scalar_one() == "30s"
    with sa.create_engine(database).begin() as connection:
        schemas = (
            "SELECT DISTINCT schemaname FROM pg_tables WHERE schemaname IN ('beside', 'public')"
        )
        assert connection.execute(sa.text(schemas)).scalars().all() == ["beside"]


def test_a_postgres_that_is_away_is_said_without_its_password() -> None:
    away = Control("postgresql+psycopg://me:word@127.0.0.1:9/control")
    with pytest.raises(BackendError, match=r"postgresql\+psycopg://me:\*\*\*@127.0.0.1:9/control"):
        away.champion("p")


def test_a_schema_of_a_newer_version_is_left_alone(control: Control) -> None:
    with control.transaction() as tx:
        tx.execute(sa.text("UPDATE control_version SET version_num = '9999'"))
    with pytest.raises(ConfigError, match=r"came with the schema 9999, wanted \d{4} or an older"):
        control.migrate()


@pytest.mark.parametrize("first", [b"", b"SQLite format 3\x00"], ids=["no database", "damaged"])
def test_a_database_that_is_damaged_is_said_so(tmp_path: Path, first: bytes) -> None:
    for name in ("control", "catalog"):
        (tmp_path / f"{name}.db").write_bytes(first + bytes(range(256)) * 40)
    environment = Environment(home=tmp_path)
    with pytest.raises(ConfigError, match=r"control\.db: .*it is damaged, or no database: restore"):
        Control(environment.control).migrate()
    with pytest.raises(ConfigError, match=r"lake's catalog: .*it is damaged, or no database"):
        Lake(environment).tables()


def test_a_database_that_is_away() -> None:
    with pytest.raises(BackendError, match="control database: /proc/nowhere cannot be made"):
        Control("sqlite:////proc/nowhere/x.db").champion("p")
