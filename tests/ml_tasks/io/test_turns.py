"""Processes of one attempt: what the cluster took away is begun again, and may wake up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest

from ml_tasks.errors import BackendError, LeaseHeldError, LeaseLostError
from ml_tasks.io import objects, word
from ml_tasks.io.control import Control
from ml_tasks.io.word import Word
from ml_tasks.result import Failure, Result

if TYPE_CHECKING:
    from pathlib import Path

TASK, HOLDER = "p/a/t", "a/t"
GOOD = Result(task="t", pipeline="p", run="a")
BAD = GOOD.model_copy(update={"error": Failure(kind="E", message="e", exit_code=65)})


@pytest.fixture
def control(database_url: str) -> Control:
    made = Control(database_url)
    made.migrate()
    return made


class TestTurns:
    def test_processes_that_begin_at_once_come_one_after_the_other(self, control: Control) -> None:
        with ThreadPoolExecutor(6) as pool:
            numbers = list(pool.map(lambda _: control.begin(TASK, 1).number, range(12)))
        assert sorted(numbers) == list(range(1, 13))
        others = (("p/b/t", 1), ("q/a/t", 1), (TASK, 2))
        assert [control.begin(*other).number for other in others] == [1, 1, 1]

    def test_old_ones_are_forgotten_and_hinder_nobody(self, control: Control) -> None:
        turn, later = control.begin(TASK, 1), datetime.now(UTC) + timedelta(minutes=1)
        assert control.forget_turns(later - timedelta(days=1)) == 0
        assert control.forget_turns(later, dry=True) == 1
        assert control.forget_turns(later) == 1
        with control.speaking(turn):
            pass


class TestLease:
    def test_a_zombie_of_the_same_attempt_does_not_take_it_from_its_successor(
        self, control: Control
    ) -> None:
        zombie, successor = control.begin(TASK, 1), control.begin(TASK, 1)
        with control.lease("x", holder=HOLDER, attempt=1, turn=successor) as lease:
            with (
                pytest.raises(LeaseLostError, match=r"attempt 1 of p/a/t was begun again; .* 1 of"),
                control.lease("x", holder=HOLDER, attempt=1, turn=zombie),
            ):
                pass
            lease.check()

    def test_a_zombie_that_holds_it_is_told_when_its_successor_begins(
        self, control: Control
    ) -> None:
        """Before that one has come so far that it wants the lease."""
        zombie = control.begin(TASK, 1)
        with control.lease("x", holder=HOLDER, attempt=1, turn=zombie) as lease:
            lease.check()
            successor = control.begin(TASK, 1)
            with pytest.raises(LeaseLostError, match="was begun again"):
                lease.check()
            with pytest.raises(LeaseLostError, match="was begun again"):
                control.complete("p", "2013-01-01", "2013-01-08", "a", lease)
            with control.lease("x", holder=HOLDER, attempt=1, turn=successor) as own:
                assert own.took_over
        assert control.windows("p") == []

    def test_a_zombie_that_waited_for_another_run_is_told(self, control: Control) -> None:
        with control.lease("x", holder="b/t", attempt=1) as other:
            zombie = control.begin(TASK, 1)
            with (
                pytest.raises(LeaseHeldError),
                control.lease("x", holder=HOLDER, attempt=1, turn=zombie),
            ):
                pass
            control.begin(TASK, 1)
            with (
                pytest.raises(LeaseLostError, match="was begun again"),
                control.lease("x", holder=HOLDER, attempt=1, turn=zombie),
            ):
                pass
            other.check()

    def test_a_later_attempt_wins_over_all_turns_of_an_earlier_one(self, control: Control) -> None:
        control.begin(TASK, 1)
        second = control.begin(TASK, 1)
        retry = control.begin(TASK, 2)
        assert (second.number, retry.number) == (2, 1)
        with (
            control.lease("x", holder=HOLDER, attempt=1, turn=second) as old,
            control.lease("x", holder=HOLDER, attempt=2, turn=retry) as lease,
        ):
            with pytest.raises(LeaseLostError, match="x is with a/t, attempt 2"):
                old.check()
            with (
                pytest.raises(LeaseLostError, match="attempt 1 changes nothing"),
                control.lease("x", holder=HOLDER, attempt=1, turn=control.begin(TASK, 1)),
            ):
                pass
            lease.check()


class TestWord:
    def words(self, control: Control, number: int) -> list[Word]:
        return [Word(control, control.begin(TASK, 1)) for _ in range(number)]

    def test_a_zombie_writes_nothing_before_or_after_its_successor(
        self, control: Control, tmp_path: Path
    ) -> None:
        uri = (tmp_path / "result.json").as_uri()
        zombie, successor = self.words(control, 2)
        for result in (GOOD, BAD):
            with pytest.raises(LeaseLostError, match="attempt 1 of p/a/t was begun again"):
                word.write(uri, result, zombie)
        assert not objects.exists(uri)
        word.write(uri, GOOD, successor)
        with pytest.raises(LeaseLostError):
            word.write(uri, BAD, zombie)
        assert objects.read_result(uri) == GOOD

    def test_the_last_that_began_writes_over_what_an_earlier_one_left(
        self, control: Control, tmp_path: Path
    ) -> None:
        uri = (tmp_path / "result.json").as_uri()
        (first,) = self.words(control, 1)
        word.write(uri, BAD, first)
        (second,) = self.words(control, 1)
        word.write(uri, GOOD, second)
        assert objects.read_result(uri) == GOOD

    def test_nobody_begins_while_one_speaks(self, control: Control) -> None:
        order: list[str] = []
        (first,) = self.words(control, 1)

        def begin() -> None:
            control.begin(TASK, 1)
            order.append("begun")

        with ThreadPoolExecutor(1) as pool:
            with control.speaking(first.turn):
                waiting = pool.submit(begin)
                with pytest.raises(TimeoutError):
                    waiting.result(0.3)
                order.append("spoken")
            waiting.result(30)
        assert order == ["spoken", "begun"]


@pytest.mark.parametrize("began", [False, True])
def test_who_cannot_ask_control_leaves_what_is_there(tmp_path: Path, *, began: bool) -> None:
    control = Control(f"sqlite:///{tmp_path}/control.db")
    control.migrate()
    own = Word(control, control.begin(TASK, 1)) if began else None
    (tmp_path / "control.db").unlink()
    (tmp_path / "control.db").mkdir()
    uri, other = ((tmp_path / name).as_uri() for name in ("result.json", "other.json"))
    word.write(uri, GOOD, own)
    word.write(uri, BAD, own)
    assert objects.read_result(uri) == GOOD
    with pytest.raises(BackendError, match="control database"):
        control.begin(TASK, 1)
    word.write(other, BAD, own)
    assert objects.read_result(other) == BAD
