"""Shares out the cores of this machine: who begins at once, who waits, and who waits longest."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from enum import IntEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator


class Turn(IntEnum):
    """When work begins, where cores are busy."""

    AT_ONCE = 0
    NEXT = 1
    """As soon as enough cores are free."""
    LAST = 2
    """As soon as enough are free that nobody waits for who is next."""


class Cores:
    """The cores of this machine, for those who wait until one is free and those who do not."""

    def __init__(self, count: int) -> None:
        """Remember how many there are."""
        self.count, self._free, self._changed = count, count, threading.Condition()
        self._next = 0

    @contextmanager
    def taken(self, count: int, turn: Turn) -> Iterator[None]:
        """Take some for a while.

        Args:
            count: How many.
            turn: When; without any cores there is nothing to wait for.
        """
        with self._changed:
            if turn > Turn.AT_ONCE and count:
                self._waited(count, turn)
            self._free -= count
        try:
            yield
        finally:
            with self._changed:
                self._free += count
                self._changed.notify_all()

    def _waited(self, count: int, turn: Turn) -> None:
        # On a machine with fewer it begins where all are free.
        first, count = turn is Turn.NEXT, min(count, self.count)
        self._next += first
        try:
            self._changed.wait_for(lambda: self._free >= count and (first or not self._next))
        finally:
            self._next -= first
            self._changed.notify_all()
