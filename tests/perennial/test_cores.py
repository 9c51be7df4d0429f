from __future__ import annotations

import threading

import pytest

from perennial.cores import Cores, Turn


class Worker:
    """Takes cores in a thread of its own until it is told to give them back."""

    def __init__(self, cores: Cores, count: int, turn: Turn) -> None:
        self.begun, self.over = threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._work, args=(cores, count, turn), daemon=True)
        self._thread.start()

    def _work(self, cores: Cores, count: int, turn: Turn) -> None:
        with cores.taken(count, turn):
            self.begun.set()
            self.over.wait(20)

    def end(self) -> None:
        self.over.set()
        self._thread.join(20)


def test_who_is_next_begins_before_who_is_last() -> None:
    cores = Cores(1)
    busy = Worker(cores, 1, Turn.AT_ONCE)
    assert busy.begun.wait(20)
    last = Worker(cores, 1, Turn.LAST)
    following = Worker(cores, 1, Turn.NEXT)
    assert not following.begun.wait(0.2)
    busy.end()
    assert following.begun.wait(20)
    assert not last.begun.wait(0.2)
    following.end()
    assert last.begun.wait(20)
    last.end()


def test_who_is_last_begins_as_soon_as_nobody_waits_any_more() -> None:
    cores = Cores(2)
    busy = Worker(cores, 2, Turn.AT_ONCE)
    assert busy.begun.wait(20)
    last, following = Worker(cores, 1, Turn.LAST), Worker(cores, 1, Turn.NEXT)
    busy.end()
    assert following.begun.wait(20)
    assert last.begun.wait(20)
    for one in (following, last):
        one.end()


@pytest.mark.parametrize("turn", list(Turn))
def test_more_than_there_are_begin_where_all_are_free(turn: Turn) -> None:
    cores = Cores(1)
    busy = Worker(cores, 1, Turn.AT_ONCE)
    assert busy.begun.wait(20)
    wide = Worker(cores, 2, turn)
    assert wide.begun.wait(0.2) == (turn is Turn.AT_ONCE)
    busy.end()
    assert wide.begun.wait(20)
    wide.end()


def test_without_any_core_there_is_nothing_to_wait_for() -> None:
    cores = Cores(1)
    busy, idle = Worker(cores, 1, Turn.AT_ONCE), Worker(cores, 0, Turn.LAST)
    assert busy.begun.wait(20)
    assert idle.begun.wait(20)
    for one in (busy, idle):
        one.end()
