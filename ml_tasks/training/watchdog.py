"""Ends a training that makes no more progress, and says which rank it waits for."""

from __future__ import annotations

import faulthandler
import logging
import os
import threading
import time
from typing import TYPE_CHECKING

from ml_tasks.errors import ExitCode
from ml_tasks.training import ddp
from ml_tasks.training.board import Board, Words

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping
    from types import TracebackType

log = logging.getLogger(__name__)
TELL_SECONDS = 15
"""How long the reason may take to get out: the store may be what the training is stuck in."""


class Watchdog:
    """A thread that wants a beat every so many seconds; without one the process ends.

    A rank that hangs keeps all others waiting in a collective call for ever, and torchrun sees
    living processes. All ranks stop making steps then; which one the others wait for shows in
    what they say to each other.
    """

    def __init__(self, own: ddp.Place, seconds: float, tell: Callable[[str], None]) -> None:
        """Watch over a rank.

        Args:
            own: This process among all.
            seconds: The longest pause between two beats.
            tell: Hands the reason to whoever waits for the task; one rank calls it.
        """
        self._own, self._seconds, self._tell = own, seconds, tell
        self._where, self._last = "the start", time.monotonic()
        self._gives_up = self._told = False
        self._every = min(1.0, seconds / 4)
        self._board = Board(own, self._every, self._words)
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True, name="watchdog")

    def beat(self, where: str) -> None:
        """Say that there was progress, and where."""
        self._where, self._last = where, time.monotonic()

    def __enter__(self) -> Watchdog:
        """Begin to watch."""
        self._last = time.monotonic()
        self._board.open()
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        fault: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Stop watching."""
        self._done.set()
        self._thread.join()
        self._board.close()

    def _words(self) -> Words:
        return Words(
            where=self._where,
            met=ddp.MEETINGS.count,
            gives_up=self._gives_up,
            told=self._told,
        )

    def _watch(self) -> None:
        while not self._done.wait(self._every):
            late = time.monotonic() - self._last > self._seconds
            if late or any(words.gives_up for words in self._board.said().values()):
                self._end()

    def _end(self) -> None:
        """Say why, and end the process once the reason is out."""
        self._gives_up = True
        # Who is stuck has stood still for the whole time: half of it is no mere delay.
        silent = self._board.silent(self._seconds / 2)
        readable = self._board.readable(self._seconds / 2)
        said = self._board.said() if readable else {self._own.rank: self._words()}
        stuck = waited_for(said, silent) if readable else [self._own.rank]
        why = reason(said, stuck, silent, self._seconds)
        if not readable:
            why += "; what the other ranks say cannot be read"
        log.error("%s. Threads of rank %s:", why, self._own.rank)
        faulthandler.dump_traceback(all_threads=True)
        free = [rank for rank in said if rank not in stuck] or [self._own.rank]
        if self._own.rank == free[0]:
            self._hand_on(why)
        else:
            self._wait_until_told()
        os._exit(int(ExitCode.CRASH))

    def _hand_on(self, why: str) -> None:
        teller = threading.Thread(target=self._tell, args=(why,), daemon=True, name="teller")
        teller.start()
        teller.join(TELL_SECONDS)
        self._told = True
        time.sleep(2 * self._every)

    def _wait_until_told(self) -> None:
        """Stay: where one process ends, torchrun ends the one that still writes."""
        limit = time.monotonic() + TELL_SECONDS
        while time.monotonic() < limit:
            if any(words.told for words in self._board.said().values()):
                return
            time.sleep(self._every / 4)


def waited_for(said: Mapping[int, Words], silent: Collection[int]) -> list[int]:
    """Give the ranks that keep the others waiting; none where all wait in the same call."""
    if silent:
        return sorted(silent)
    furthest = max(words.met for words in said.values())
    return [rank for rank, words in said.items() if words.met < furthest]


def reason(
    said: Mapping[int, Words], stuck: Collection[int], silent: Collection[int], seconds: float
) -> str:
    """Give one line about a training that makes no step.

    Args:
        said: The last words of each rank, or of this one alone.
        stuck: The ranks that the others wait for.
        silent: Those that say nothing new.
        seconds: For how long there was no step.
    """
    if len(said) == 1:
        ((rank, words),) = said.items()
        return f"rank {rank} made no step for {seconds:g} s; it stood at {words.where}"
    if stuck:
        return "; ".join(_about(rank, said[rank], seconds, silent=rank in silent) for rank in stuck)
    where = said[0].where
    return (
        f"all {len(said)} ranks made no step for {seconds:g} s and wait for each other at {where}: "
        "look at the network between them"
    )


def _about(rank: int, words: Words, seconds: float, *, silent: bool) -> str:
    how = f"no step for {seconds:g} s"
    if silent:
        how += ", and no sign of life (it is stopped, or cut off)"
    return f"rank {rank} keeps the others waiting: {how}; it stood at {words.where}"
