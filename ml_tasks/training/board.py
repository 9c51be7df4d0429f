"""What the ranks of a training say of themselves, each to all others, beside their work."""

from __future__ import annotations

import json
import logging
import threading
import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

from ml_tasks.training import ddp

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch.distributed import Store  # type: ignore[attr-defined]

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Words:
    """What a rank says of itself."""

    where: str = "a place before its first words"
    met: int = -1
    """How many calls that need all ranks it has come to."""
    turn: int = 0
    """How often it has spoken: who is stopped repeats the last one for ever."""
    gives_up: bool = False
    told: bool = False
    """Whether it has said why to whoever reads the task's result."""


class Board:
    """A thread that writes a rank's words where all can read them, and reads the others'.

    It alone talks to the store: where that does not answer, nobody waits for it.
    """

    def __init__(self, own: ddp.Place, every: float, words: Callable[[], Words]) -> None:
        """Make a board for a rank; nothing is said yet.

        Args:
            own: This process among all.
            every: Seconds between two words.
            words: Gives what it has to say.
        """
        self._own, self._every, self._words = own, every, words
        self._others = [rank for rank in range(own.world_size) if rank != own.rank]
        now = time.monotonic()
        self._heard = {rank: (Words(), now) for rank in self._others}
        self._read = now
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._speak, daemon=True, name="board")

    def open(self) -> None:
        """Begin, where there are others."""
        if self._others:
            self._thread.start()

    def close(self) -> None:
        """End, but wait for no store that does not answer."""
        self._done.set()
        if self._others:
            self._thread.join(2 * self._every)

    def said(self) -> dict[int, Words]:
        """Give the last words of each rank, in the order of ranks."""
        words = {rank: words for rank, (words, _) in self._heard.items()}
        return dict(sorted({**words, self._own.rank: self._words()}.items()))

    def silent(self, seconds: float) -> set[int]:
        """Give the ranks that said nothing new for so long, by the clock of this one."""
        return {rank for rank, (_, at) in self._heard.items() if self._read - at > seconds}

    def readable(self, seconds: float) -> bool:
        """Tell whether the store has answered within so long."""
        return not self._others or time.monotonic() - self._read < seconds

    def _speak(self) -> None:
        from torch.distributed import DistError

        turn = 0
        try:
            store = ddp.store()
            while not self._done.is_set():
                turn += 1
                self._exchange(store, turn)
                self._done.wait(self._every)
        except DistError as fault:
            if not self._done.is_set():
                log.warning("rank %s reads the others' words no more: %s", self._own.rank, fault)

    def _exchange(self, store: Store, turn: int) -> None:
        store.set(_key(self._own.rank), json.dumps(asdict(replace(self._words(), turn=turn))))
        for rank in self._others:
            if store.check([_key(rank)]):
                words = Words(**json.loads(store.get(_key(rank))))
                if words.turn != self._heard[rank][0].turn:
                    self._heard[rank] = words, time.monotonic()
        self._read = time.monotonic()


def _key(rank: int) -> str:
    return f"board/{rank}"
