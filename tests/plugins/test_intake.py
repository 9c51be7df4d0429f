"""Wishes to train, and those that were lost, held against a real ledger."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from ml_launch.intake import lost_triggers, write_trigger
from ml_launch.unclaimed import OLDER, Unclaimed
from ml_launch.waiting import LONGEST_SECONDS

from ml_tasks.config import Environment
from ml_tasks.io.control import Control
from ml_tasks.io.schema import triggers

if TYPE_CHECKING:
    from pathlib import Path

FORM = {
    "cause": "form",
    "window_start": "2013-01-01",
    "window_end": "2013-02-05",
    "why": "",
    "again": False,
}


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Control:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    control = Control(Environment().control)
    control.migrate()
    return control


def ask(run: str, **more: Any) -> str:
    return write_trigger("p", {**FORM, **more}, run)


def test_a_retry_of_the_same_run_finds_its_trigger(control: Control) -> None:
    assert ask("a") == ask("a")
    assert len(control.triggers("p")) == 1


def test_what_nobody_has_claimed_is_started_again(control: Control) -> None:
    assert ask("a") == ask("b")
    assert control.triggers("p")[0].who == "a"


def test_what_somebody_works_on_is_skipped_unless_again(control: Control) -> None:
    control.claim(ask("a"), "t")
    with pytest.raises(AirflowSkipException, match="asked for 2013-01-01/2013-02-05 before; run t"):
        ask("b")
    assert ask("b", again=True) != control.triggers("p")[0].id


def test_a_field_that_is_none_is_refused(control: Control) -> None:
    with pytest.raises(AirflowFailException, match=r"came \['windowstart'\], wanted some of"):
        ask("a", windowstart="2013-01-01")
    assert control.triggers("p") == []


@pytest.mark.parametrize("cause", ["monitor", "outside"])
def test_nobody_asks_in_the_name_of_the_policies(control: Control, cause: str) -> None:
    with pytest.raises(AirflowFailException, match=f"came '{cause}', which the policies ask by"):
        ask("a", cause=cause)
    assert control.triggers("p") == []


def test_the_schedule_is_a_cause_of_its_own(control: Control) -> None:
    write_trigger("p", FORM, "a", scheduled=True)
    assert control.triggers("p")[0].cause == "schedule"


def test_what_makes_no_sense_fails_at_once(control: Control) -> None:
    with pytest.raises(AirflowFailException, match="the start must come before the end"):
        ask("a", window_end="2012-01-01")
    with pytest.raises(AirflowFailException, match="none of its windows came as far"):
        ask("a", window_end=None)
    assert control.triggers("p") == []


def test_a_window_of_days_to_come_is_refused(control: Control) -> None:
    today = datetime.now(UTC).date()
    for ahead in (timedelta(days=3), timedelta(days=26_000)):
        end = today + ahead
        with pytest.raises(AirflowFailException, match=f"window_end: came {end}, wanted .* at the"):
            ask("a", window_end=f"{end}")
    assert control.triggers("p") == []
    end = today + timedelta(days=1)
    assert control.trigger(ask("a", window_end=f"{end}")).window == f"2013-01-01/{end}"


def test_windows_that_are_in_are_taken_whenever_they_end(control: Control) -> None:
    today = datetime.now(UTC).date()
    start, end = (f"{today + timedelta(days=days)}T00:00:00+00:00" for days in (-3, 4))
    with control.lease("p", holder="r", attempt=1) as lease:
        control.complete("p", start, end, "r", lease)
    assert control.trigger(ask("a", window_end="")).window == f"2013-01-01/{end[:10]}"


def grow_old(control: Control, trigger: str, by: timedelta = OLDER) -> None:
    with control.transaction() as tx:
        created = (datetime.now(UTC) - by).isoformat()
        changed = triggers.update().where(triggers.c.id == trigger)
        tx.execute(changed.values(created=created))


def test_a_written_trigger_is_started_where_nobody_has_it(control: Control) -> None:
    replayed = control.replay(ask("a"), who="me", why="once more")
    assert ask("b", trigger=replayed.id) == replayed.id
    control.claim(replayed.id, "t")
    with pytest.raises(AirflowSkipException, match=rf"trigger {replayed.id}: run t has it"):
        ask("b", trigger=replayed.id)
    with pytest.raises(AirflowFailException, match="the ledger has none of that id"):
        ask("b", trigger="nope")
    with pytest.raises(AirflowFailException, match="came one of 'p', wanted one of 'q'"):
        write_trigger("q", {**FORM, "trigger": replayed.id}, "c")


def test_what_was_lost_is_found_once_it_has_waited_long_enough(control: Control) -> None:
    young, old, taken = ask("a"), ask("a", cause="drift"), ask("a", cause="metrics")
    control.claim(taken, "t")
    for trigger in (old, taken):
        grow_old(control, trigger)
    assert lost_triggers("p", 0) == [old]
    with pytest.raises(AirflowSkipException, match=f"{old}: nobody has claimed them, but 2 train"):
        lost_triggers("p", 2)
    control.claim(old, "u")
    with pytest.raises(AirflowSkipException, match="every trigger has been claimed, or was asked"):
        lost_triggers("p", 0)
    assert control.trigger(young).state == "asked"


class TestUnclaimed:
    """The watcher in the triggerer."""

    async def first(self) -> list[str]:
        async for event in Unclaimed("p").run():
            return list(event.payload["triggers"])
        raise AssertionError

    def test_it_tells_of_what_has_waited(self, control: Control) -> None:
        lost = ask("a")
        grow_old(control, lost)
        assert asyncio.run(self.first()) == [lost]
        path, told = Unclaimed("p").serialize()
        assert (path, told) == ("ml_launch.unclaimed.Unclaimed", {"pipeline": "p"})

    def test_it_tells_ever_later_while_somebody_waits(self) -> None:
        watcher, told, now = Unclaimed("p"), [], 0.0
        while now < 4 * LONGEST_SECONDS:
            if watcher.due(["a"], now):
                told.append(now)
            now += 30
        assert told[:5] == [0, 600, 1800, 4200, 7800]
        assert {b - a for a, b in pairwise(told[3:])} == {LONGEST_SECONDS}
        assert watcher.due(["a", "b"], now) == ["b"]
        assert watcher.due([], now) == []
        assert watcher.due(["a"], now) == ["a"], "what was taken and waits again is told at once"

    @pytest.mark.usefixtures("control")
    def test_while_the_database_is_away_it_waits(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setenv("PERENNIAL_CONTROL_URL", "sqlite:////proc/nowhere/control.db")
        assert Unclaimed("p")._waiting() == []
