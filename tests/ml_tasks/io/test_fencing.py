"""The small print of fencing: what a lease, a trigger, a head and a window are exactly."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pyarrow as pa
import pytest
import sqlalchemy as sa

from ml_tasks.errors import (
    BackendError,
    LeaseHeldError,
    LeaseLostError,
    NothingToDo,
    PromotionLostError,
)
from ml_tasks.io import evolution, leases, schema
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake
from ml_tasks.result import Window

if TYPE_CHECKING:
    from pathlib import Path

    from pyiceberg.table import Table

    from ml_tasks.config import Environment

WEEK = Window.parse("2013-01-01/2013-01-08")
DAY = 24 * 3600


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database without rows, made once."""
    file = tmp_path_factory.mktemp("empty") / "control.db"
    Control(f"sqlite:///{file}").migrate()
    return file


@pytest.fixture
def control(environment: Environment, empty: Path) -> Control:
    environment.home.mkdir()
    shutil.copy(empty, environment.home / "control.db")
    return Control(environment.control)


def expires(control: Control) -> float:
    with control.transaction() as tx:
        return float(tx.execute(sa.select(schema.leases.c.expires)).scalar_one())


class TestLease:
    def test_tokens_grow_with_each_change_of_hands(self, control: Control) -> None:
        seen = []
        for holder, attempt in (("a", 1), ("b", 1), ("a", 2), ("b", 7)):
            with control.lease("x", holder=holder, attempt=attempt) as lease:
                lease.check()
                assert (lease.resource, lease.holder, lease.attempt) == ("x", holder, attempt)
                seen.append(lease.token)
        assert seen == [1, 2, 3, 4]

    def test_whose_tasks_hold_leases_now_is_known(self, control: Control) -> None:
        with control.lease("x", holder="p/over/derive", attempt=1):
            pass
        with (
            control.lease("x", holder="p/r/derive", attempt=1),
            control.lease("y", holder="q/r/train", attempt=1),
            control.lease("z", holder="clean 2026", attempt=1),
        ):
            assert control.running() == {("p", "r"), ("q", "r")}
        assert control.running() == set()

    def test_the_same_attempt_again_takes_over_what_it_left(self, control: Control) -> None:
        """It was killed, and is entered again as the attempt that it was."""
        killed = control.lease("x", holder="a", attempt=3)
        old = killed.__enter__()
        with control.lease("x", holder="a", attempt=3) as again:
            assert again.took_over
            again.check()
            with pytest.raises(LeaseLostError):
                old.check()

    def test_who_does_not_wait_is_told_at_once(
        self, control: Control, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def sleep(_seconds: float) -> None:
            pytest.fail("it waits")

        with control.lease("x", holder="a", attempt=1):
            monkeypatch.setattr(leases.time, "sleep", sleep)
            with pytest.raises(LeaseHeldError), control.lease("x", holder="b", attempt=1):
                pass

    def test_leases_of_other_things_do_not_matter(self, control: Control) -> None:
        with (
            control.lease("x", holder="a", attempt=1) as one,
            control.lease("y", holder="b", attempt=1) as other,
        ):
            assert (one.token, other.token) == (1, 1)
            one.check()
            other.check()
        with control.lease("y", holder="b", attempt=2) as other:
            with control.lease("x", holder="c", attempt=1) as lease:
                assert lease.token == 2
            other.check()
            assert other.token == 2

    def test_giving_one_back_leaves_the_others_held(self, control: Control) -> None:
        with control.lease("y", holder="b", attempt=1) as other:
            with control.lease("x", holder="a", attempt=1):
                pass
            other.check()
            assert other.token == 1
            with pytest.raises(LeaseHeldError), control.lease("y", holder="c", attempt=1):
                pass

    def test_who_failed_without_taking_over_gives_it_back(self, control: Control) -> None:
        with (
            pytest.raises(BackendError, match="away"),
            control.lease("x", holder="a", attempt=1),
        ):
            raise BackendError("away")
        with control.lease("x", holder="b", attempt=1) as lease:
            assert not lease.took_over

    def test_one_that_lasts_too_long_is_cut_and_one_that_does_not_is_left(
        self, control: Control
    ) -> None:
        """Too long: it was taken before the clock was set back."""
        kept = control.lease("x", holder="a", attempt=1, seconds=DAY)
        first = kept.__enter__()
        before = expires(control)
        for seconds, shorter in ((2 * DAY, False), (600, True)):
            with (
                pytest.raises(LeaseHeldError, match="x: a, attempt 1 is publishing it now"),
                control.lease("x", holder="b", attempt=1, seconds=seconds),
            ):
                pass
            assert (expires(control) < before - DAY / 2) is shorter
            first.check()


class TestTriggers:
    def test_pipeline_cause_and_window_make_the_wish(self, control: Control) -> None:
        asked = [
            control.ask(*names, who="me", evidence={"n": 1})
            for names in (("p", "c", "w"), ("q", "c", "w"), ("p", "d", "w"), ("p", "c", "v"))
        ]
        assert len({trigger.id for trigger, _ in asked}) == 4
        assert all(new for _, new in asked)
        first, new = control.ask("p", "c", "w", who="you", evidence={"n": 2})
        assert (first, new) == (asked[0][0], False)
        assert (first.who, first.evidence, first.state, first.run) == (
            "me",
            {"n": 1},
            "asked",
            None,
        )
        assert (first.pipeline, first.cause, first.window) == ("p", "c", "w")
        assert [t.pipeline for t in control.triggers("q")] == ["q"]

    def test_one_that_is_claimed_or_done_leaves_the_others(self, control: Control) -> None:
        one, two = (control.ask("p", c, "w", who="me", evidence={})[0] for c in "cd")
        control.claim(one.id, "r1")
        assert control.trigger(two.id) == two
        control.finish(one.id, "done well")
        found = control.trigger(one.id)
        assert (found.state, found.outcome, found.run) == ("done", "done well", "r1")
        assert control.trigger(two.id) == two
        control.claim(two.id, "r2")
        assert control.trigger(one.id) == found

    def test_they_come_oldest_first(self, control: Control) -> None:
        ids = [control.ask("p", c, "w", who="me", evidence={})[0].id for c in "abcd"]
        with control.transaction() as tx:
            for number, identity in enumerate(ids):
                moment = f"2013-01-0{9 - number}"
                tx.execute(
                    schema.triggers.update()
                    .where(schema.triggers.c.id == identity)
                    .values(created=moment)
                )
        assert [t.id for t in control.triggers("p")] == ids[::-1]

    def test_an_unknown_one_is_named(self, control: Control) -> None:
        control.ask("p", "c", "w", who="me", evidence={})
        for ask in (control.trigger, lambda i: control.claim(i, "r")):
            with pytest.raises(NothingToDo, match="trigger 'x': the ledger has none of that id"):
                ask("x")


class TestChampions:
    def test_each_pipeline_has_its_own(self, control: Control) -> None:
        told = {"verdict_uri": "u", "who": "me", "why": "better"}
        for pipeline, version, before, run in (
            ("p", "1", None, "a"), ("q", "7", None, "b"), ("p", "2", "1", "c"),
        ):  # fmt: skip
            head = control.promote(pipeline, version, expected=before, run=run, **told)
            assert (head.pipeline, head.version, head.run) == (pipeline, version, run)
            assert head == control.champion(pipeline)
        heads = [control.champion(name) for name in ("p", "q", "r")]
        assert [head and (head.version, head.run) for head in heads] == [
            ("2", "c"), ("7", "b"), None
        ]  # fmt: skip
        assert [e.number for e in control.audit()] == [1, 2, 3]
        assert [e.number for e in control.audit("p")] == [1, 3]
        last = control.audit("p")[-1]
        assert (last.action, last.who, last.why) == ("promote", "me", "better")
        assert last.detail == {"version": "2", "before": "1", "run": "c", "verdict": "u"}
        assert last.previous == control.audit("q")[0].hash
        assert control.audit()[0].previous == "0" * 64
        assert control.verify_audit() is None

    def test_the_same_version_by_another_run_is_not_the_same_promotion(
        self, control: Control
    ) -> None:
        told = {"verdict_uri": "u", "who": "me", "why": "better"}
        first = control.promote("p", "1", expected=None, run="a", **told)
        assert control.promote("p", "1", expected=None, run="a", **told) == first
        second = control.promote("p", "1", expected="1", run="b", **told)
        assert second.run == "b"
        assert len(control.audit()) == 2

    def test_who_was_judged_against_a_champion_that_is_none_loses(self, control: Control) -> None:
        told = {"verdict_uri": "u", "who": "me", "why": "better", "run": "r"}
        with pytest.raises(PromotionLostError, match="champion 7, but None is champion; train or"):
            control.promote("p", "8", expected="7", **told)
        assert control.champion("p") is None
        assert control.audit() == []


def rows(*times: datetime) -> pa.Table:
    return pa.table(
        {
            "event_time": pa.array(times, pa.timestamp("us", "UTC")),
            "value": pa.array(range(len(times)), pa.int64()),
        }
    )


class TestLake:
    @pytest.fixture
    def lake(self, environment: Environment) -> Lake:
        return Lake(environment)

    def put(self, lake: Lake, control: Control, table: pa.Table, window: Window) -> int:
        with control.lease("raw.t", holder="r", attempt=1) as lease:
            done = lake.publish("raw.t", table, window, lease, properties={"run": "r"})
        assert (done.table, done.rows, done.window) == ("raw.t", table.num_rows, window)
        assert done.snapshot == lake.snapshot("raw.t")
        return int(done.snapshot or 0)

    def test_a_window_has_its_start_and_lacks_its_end(self, lake: Lake, control: Control) -> None:
        self.put(lake, control, rows(WEEK.start, WEEK.end), Window(
            start=WEEK.start, end=WEEK.end + timedelta(days=1)))  # fmt: skip
        assert lake.read("raw.t", window=WEEK)["event_time"].to_pylist() == [WEEK.start]
        self.put(lake, control, rows(WEEK.start + timedelta(hours=1)), WEEK)
        left = sorted(lake.read("raw.t")["event_time"].to_pylist())
        assert left == [WEEK.start + timedelta(hours=1), WEEK.end]

    def test_the_same_rows_make_no_snapshot_and_none_make_the_first(
        self, lake: Lake, control: Control
    ) -> None:
        first = self.put(lake, control, rows(), WEEK)
        assert self.put(lake, control, rows(), WEEK) == first
        second = self.put(lake, control, rows(WEEK.start), WEEK)
        assert second != first
        assert self.put(lake, control, rows(WEEK.start), WEEK) == second
        summary = lake.load("raw.t").snapshot_by_id(second).summary
        assert summary is not None
        assert summary["run"] == "r"

    def test_who_takes_over_moves_the_table_once_before_it_publishes(
        self, lake: Lake, control: Control
    ) -> None:
        self.put(lake, control, rows(WEEK.start), WEEK)
        before = len(lake.load("raw.t").history())
        kept = control.lease("raw.t", holder="r", attempt=2)
        kept.__enter__()
        with control.lease("raw.t", holder="r", attempt=3) as lease:
            lake.publish("raw.t", rows(WEEK.start), WEEK, lease)
            assert len(lake.load("raw.t").history()) == before + 1, "moved, and nothing else new"
            lake.publish("raw.t", rows(WEEK.start, WEEK.start), WEEK, lease)
        assert lake.read("raw.t").num_rows == 2

    def test_a_commit_that_is_refused_every_time_is_told(
        self, lake: Lake, control: Control, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody else publishes between each load and its commit."""
        self.put(lake, control, rows(WEEK.start), WEEK)
        with control.lease("raw.t", holder="r", attempt=2) as lease:
            real, other = type(lease).check, Lake(lake._environment)

            def check(held: object) -> None:
                real(held)  # type: ignore[arg-type]
                other.load("raw.t").append(rows(WEEK.end))

            monkeypatch.setattr(type(lease), "check", check)
            with pytest.raises(BackendError, match="20 commits were refused; try later"):
                lake.publish("raw.t", rows(WEEK.start, WEEK.start), WEEK, lease)
        assert lake.read("raw.t", window=WEEK).num_rows == 1

    def test_the_newest_time_and_the_names(self, lake: Lake, control: Control) -> None:
        assert lake.latest("raw.t") is None
        later = datetime(2013, 1, 3, tzinfo=UTC)
        self.put(lake, control, rows(later, WEEK.start), WEEK)
        assert lake.latest("raw.t") == later
        assert lake.find("raw.t") is not None
        with control.lease("raw.a", holder="r", attempt=1) as lease:
            lake.publish("raw.a", rows(), WEEK, lease)
        assert lake.tables() == ["raw.a", "raw.t"]
        assert lake.latest("raw.a") is None

    def test_a_table_takes_on_the_columns_of_what_is_published(
        self, lake: Lake, control: Control
    ) -> None:
        self.put(lake, control, rows(WEEK.start), WEEK)
        more = rows(WEEK.start).append_column("more", pa.array(["x"]))
        self.put(lake, control, more, WEEK)
        assert lake.read("raw.t")["more"].to_pylist() == ["x"]

    def test_columns_that_another_one_brought_meanwhile_stay(
        self, lake: Lake, control: Control
    ) -> None:
        """The commit is refused, and tried again on what the table has become."""
        self.put(lake, control, rows(WEEK.start), WEEK)
        loaded, own = lake.load("raw.t"), rows(WEEK.start).schema
        lake.evolve("raw.t", own.append(pa.field("theirs", pa.string())))
        evolution.evolve(loaded, own.append(pa.field("ours", pa.string())), {})
        for table in (loaded, lake.load("raw.t")):
            assert table.schema().column_names == [*own.names, "theirs", "ours"]

    def test_a_tag_that_is_refused_every_time_is_told(
        self, lake: Lake, control: Control, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Somebody else sets it between each load and its commit, and takes it away again."""
        snapshot = self.put(lake, control, rows(WEEK.start), WEEK)
        with control.lease("tags", holder="r", attempt=1) as lease:
            other = Lake(lake._environment)
            table = type(other.load("raw.t"))
            check, refresh = type(lease).check, table.refresh

            def set_before(held: object) -> None:
                check(held)  # type: ignore[arg-type]
                other.load("raw.t").manage_snapshots().create_tag(snapshot, "set-a").commit()

            def taken_before(loaded: Table) -> Table:
                other.load("raw.t").manage_snapshots().remove_tag("set-a").commit()
                return refresh(loaded)

            monkeypatch.setattr(type(lease), "check", set_before)
            monkeypatch.setattr(table, "refresh", taken_before)
            with pytest.raises(BackendError, match=r"raw\.t: it changed under 20 tries"):
                lake.tag("raw.t", snapshot, "set-a", lease)
