"""Alerts on their way out: once by each channel, by one sender, never lost."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from ml_tasks.io.control import Control
from ml_tasks.io.outbox import FIRST_PAUSE, LONGEST_PAUSE, NO_WORD, TRIES
from ml_tasks.io.schema import sent

CONTENT = {"subject": "s"}


@pytest.fixture
def control(database_url: str) -> Control:
    control = Control(database_url)
    control.migrate()
    return control


def post(control: Control, key: str = "k", channels: tuple[str, ...] = ("a",)) -> int:
    return control.post("p", "failed", key, channels, CONTENT)


def let_time_pass(control: Control, **values: Any) -> None:
    with control.transaction() as tx:
        tx.execute(sent.update().values(not_before=0.0, **values))


def test_equal_ones_are_one_by_each_channel(control: Control) -> None:
    assert post(control, channels=("a", "b")) == 2
    assert post(control, channels=("a", "b", "c")) == 1
    assert post(control, "other") == 1
    assert control.post("q", "failed", "k", ("a",), CONTENT) == 1
    assert control.post("p", "alarm", "k", ("a",), CONTENT) == 1


def test_many_at_once_post_once_and_send_each_once(control: Control) -> None:
    with ThreadPoolExecutor(6) as pool:
        assert sum(pool.map(lambda n: post(control, str(n % 3)), range(12))) == 3
        taken = [one for one in pool.map(lambda _n: control.take("p"), range(8)) if one]
    assert len({one.id for one in taken}) == len(taken)
    for one in taken:
        control.sent_off(one)
    while (rest := control.take("p")) is not None:
        taken.append(rest)
        control.sent_off(rest)
    assert len(taken) == 3
    assert {one.state for one in control.sent("p")} == {"sent"}
    assert control.due("p") == []


def test_who_died_while_sending_is_followed_by_one_that_says_so(control: Control) -> None:
    post(control)
    lost = control.take("p")
    assert lost is not None
    assert (control.take("p"), lost.unsure) == (None, False)
    let_time_pass(control)
    again = control.take("p")
    assert again is not None
    assert (again.id, again.unsure, again.tries) == (lost.id, True, 2)
    control.sent_off(lost)
    assert control.sent("p")[0].state == "waiting", "who lost it says nothing any more"
    control.sent_off(again)
    assert control.sent("p")[0].state == "sent"


def test_what_could_not_be_sent_waits_ever_longer_and_is_given_up(control: Control) -> None:
    post(control)
    pauses = []
    for _ in range(TRIES):
        taken = control.take("p")
        assert taken is not None
        assert not taken.unsure
        with control.transaction() as tx:
            before = tx.execute(sent.select()).one().not_before
        control.put_back(taken, "nobody answers")
        with control.transaction() as tx:
            pauses.append(tx.execute(sent.select()).one().not_before - before + 300)
        let_time_pass(control)
    assert pauses[0] == pytest.approx(FIRST_PAUSE, abs=5)
    assert pauses[-1] == pytest.approx(LONGEST_PAUSE, abs=5)
    (row,) = control.sent("p")
    assert (row.state, row.fault) == ("given up", "nobody answers")
    assert control.take("p") is None


def test_what_every_sender_died_of_is_given_up_and_the_next_is_sent(control: Control) -> None:
    post(control)
    for _ in range(TRIES):
        assert control.take("p") is not None, "and then its process dies"
        let_time_pass(control)
    assert len(control.due("p")) == 1, "somebody is to come and give it up"
    post(control, "other")
    taken = control.take("p")
    assert taken is not None
    assert taken.tries == 1
    assert [(one.state, one.tries, one.fault) for one in control.sent("p")] == [
        ("given up", TRIES, NO_WORD), ("waiting", 1, None),
    ]  # fmt: skip
    assert control.due("p") == []
