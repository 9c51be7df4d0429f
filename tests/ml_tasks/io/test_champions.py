"""Going back to an earlier champion, and what a retry or a race makes of it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ml_tasks.errors import PromotionLostError
from ml_tasks.io.audit import rolled_back
from ml_tasks.io.champions import Head, line, succession
from ml_tasks.io.control import Control

if TYPE_CHECKING:
    from collections.abc import Sequence


@pytest.fixture
def control(database_url: str) -> Control:
    made = Control(database_url)
    made.migrate()
    return made


def promote(control: Control, version: str, before: str | None, run: str = "") -> Head:
    return control.promote(
        "p", version, expected=before, run=run or f"r{version}", verdict_uri=f"u{version}",
        who="judge", why="better",
    )  # fmt: skip


def back(control: Control, to: Head, seen: Head) -> Head:
    control.rollback(to, seen=seen, who="me", why="too many late ones")
    head = control.champion("p")
    assert head is not None
    return head


def test_the_version_with_its_run_and_verdict_is_champion_again(control: Control) -> None:
    first, second = promote(control, "1", None), promote(control, "2", "1")
    head = back(control, first, second)
    assert (head.version, head.run, head.verdict_uri) == ("1", "r1", "u1")
    assert head.since > second.since
    entry = control.audit("p")[-1]
    assert (entry.action, entry.who, entry.why) == ("rollback", "me", "too many late ones")
    assert entry.detail == {"version": "1", "before": "2", "run": "r1", "verdict": "u1"}
    assert control.verify_audit() is None


def test_the_champion_of_another_product_stays(control: Control) -> None:
    first, second = promote(control, "1", None), promote(control, "2", "1")
    other = control.promote(
        "q", "9", expected=None, run="r9", verdict_uri="u9", who="judge", why="better"
    )
    assert back(control, first, second).version == "1"
    assert control.champion("q") == other
    control.rollback(Head("q", "8", "r8", "u8", ""), seen=other, who="me", why="it was better")
    assert [control.champion(name).version for name in "pq"] == ["1", "8"]  # type: ignore[union-attr]


def test_the_newest_promotion_with_a_champion_before_it_and_its_two_rivals(
    control: Control,
) -> None:
    first = promote(control, "1", None)
    assert succession(control.audit("p")) is None
    second = promote(control, "2", "1")
    back(control, first, second)
    found = succession(control.audit("p"))
    assert found is not None
    assert (found.new.version, found.before.version) == ("2", "1")
    one, two = found.rival(found.new), found.rival(found.before)
    assert (one, two) == (found.before, found.new)
    assert found.rival(Head("p", "3", "r3", "u3", "")) is None


def test_the_window_of_a_rollback_is_that_of_the_last_that_had_one(control: Control) -> None:
    first, second = promote(control, "1", None), promote(control, "2", "1")
    assert rolled_back(control.audit("p")) is None
    for window in ("2013-01-01/2013-01-08", "2013-02-01/2013-02-08", None):
        evidence = {} if window is None else {"window": window}
        control.rollback(first, seen=second, who="decide", why="worse", evidence=evidence)
        first, second = second, control.champion("p")  # type: ignore[assignment]
    found = control.audit("p")
    assert [one.window for one in found] == [
        None, None, "2013-01-01/2013-01-08", "2013-02-01/2013-02-08", None,
    ]  # fmt: skip
    assert rolled_back(found) == datetime(2013, 2, 8, tzinfo=UTC)
    assert replace(found[2], action="promote").window is None


def test_what_was_rolled_back_is_not_promoted_by_a_retry_of_its_run(control: Control) -> None:
    """Its verdict is about the very champion that stands there again."""
    first, second = promote(control, "1", None), promote(control, "2", "1")
    head = back(control, first, second)
    with pytest.raises(
        PromotionLostError,
        match=r"p version 2 was champion by run r2 before, and 1 is since .* by rollback of me: "
        r"too many late ones; a retry does not undo that: perennial rollback --to 2",
    ):
        promote(control, "2", "1")
    assert control.champion("p") == head
    assert promote(control, "1", None) == head, "a retry of what is champion changes nothing"
    assert promote(control, "3", "1").version == "3"


def test_who_was_judged_against_the_version_that_is_gone_loses(control: Control) -> None:
    first, second = promote(control, "1", None), promote(control, "2", "1")
    back(control, first, second)
    with pytest.raises(PromotionLostError, match="version 3 was judged against champion 2, but 1"):
        promote(control, "3", "2")


def test_a_rollback_that_comes_after_a_promotion_is_told_by_whom_it_lost(control: Control) -> None:
    first, second = promote(control, "1", None), promote(control, "2", "1")
    third = promote(control, "3", "2")
    with pytest.raises(
        PromotionLostError,
        match=r"p: version 1 was to take the place of 2, but 3 is champion since .* by promote of "
        r"judge: better; look at it, and ask again if it is to go",
    ):
        back(control, first, second)
    assert control.champion("p") == third
    assert back(control, second, third).version == "2"
    with pytest.raises(PromotionLostError, match="by rollback of me: too many late ones"):
        back(control, first, third)


def test_one_of_many_rollbacks_and_promotions_wins(control: Control) -> None:
    first, seen = promote(control, "1", None), promote(control, "2", "1")

    def move(number: int) -> str | None:
        try:
            if number % 2:
                back(control, first, seen)
            else:
                promote(control, str(number + 10), "2")
        except PromotionLostError as lost:
            return str(lost)
        return None

    with ThreadPoolExecutor(8) as pool:
        ended = list(pool.map(move, range(16)))
    assert ended.count(None) == 1
    assert len(control.audit("p")) == 3
    assert control.verify_audit() is None


@pytest.mark.parametrize(
    ("moves", "standing"),
    [
        ((), []),
        (("1", "2", "3"), ["1", "2", "3"]),
        (("1", "2", "3", "<2"), ["1", "2"]),
        (("1", "2", "3", "<2", "<1"), ["1"]),
        (("1", "2", "3", "<1"), ["1"]),
        (("1", "2", "<1", "3"), ["1", "3"]),
        (("1", "2", "<1", "<2"), ["1", "2"]),
        (("1", "2", "3", "<1", "<2"), ["1", "2"]),
        (("1", "2", "3", "<7"), ["1", "2", "7"]),
        (("1", "2", "<1", "3", "4", "<3"), ["1", "3"]),
    ],
)
def test_going_back_twice_goes_further_back(
    control: Control, moves: Sequence[str], standing: list[str]
) -> None:
    head: Head | None = None
    for move in moves:
        version = move.strip("<")
        if move.startswith("<") and head is not None:
            head = back(control, Head("p", version, f"r{version}", f"u{version}", ""), head)
        else:
            head = promote(control, version, head and head.version)
    found = line(control.audit("p"))
    assert [one.version for one in found] == standing
    if head is not None:
        assert (found[-1].version, found[-1].run) == (head.version, head.run)
