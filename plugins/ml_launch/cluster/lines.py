"""Lines of an answer that comes in pieces, and of a pod's log that comes again after a break."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_launch.cluster import state

if TYPE_CHECKING:
    from ml_launch.cluster.state import Pod

TRIES = 20
"""How often a log is asked for that breaks off."""
PAUSE_SECONDS = 0.5
DRAIN_SECONDS = 10
"""How long the logs of pods that have ended are waited for."""


class Pieces:
    """Makes lines of pieces."""

    def __init__(self) -> None:
        """Nothing came yet."""
        self._rest = b""

    def take(self, piece: bytes) -> list[str]:
        """Give the lines that end in a piece."""
        *whole, self._rest = (self._rest + piece).split(b"\n")
        return [line.decode(errors="replace") for line in whole]

    def end(self) -> list[str]:
        """Give what came after the last line's end."""
        return [self._rest.decode(errors="replace")] if self._rest else []


class PodLog:
    """A pod's log, of which each line is shown once; of several pods it says whose it is."""

    def __init__(self, pod: Pod, pods: int) -> None:
        """Nothing is shown yet."""
        self.pod = state.name(pod)
        self._prefix = f"[{state.index(pod)}] " if pods > 1 else ""
        self._last = self._read = ""

    def again(self) -> str | None:
        """Give since when to ask for it: it comes again from that whole second on."""
        self._read = self._last
        return self._last or None

    def shown(self, line: str) -> str | None:
        """Give what to show of a line; `None` where it was shown before."""
        at, _space, text = line.partition(" ")
        if at <= self._read:
            return None
        self._last = at
        return self._prefix + text

    def refused(self, fault: Exception) -> str:
        """Say that it may not be read."""
        return f"{self._prefix}the log of {self.pod} is not shown: {fault}"
