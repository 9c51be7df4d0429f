"""A process and all that it started."""

from __future__ import annotations

import threading
import time

import psutil

from ml_launch.outcome import Sample

GRACE_SECONDS = 15
"""From SIGTERM to SIGKILL: long enough to write a checkpoint."""
GONE_SECONDS = 5
"""How long the system may take to remove what was killed."""
EVERY_SECONDS = 0.5


def members(pid: int) -> list[psutil.Process]:
    """Give the process and its descendants; a fresh torchrun's have sessions of their own."""
    try:
        root = psutil.Process(pid)
        return [root, *root.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def end(pid: int, *, grace: float = GRACE_SECONDS) -> None:
    """Ask the whole tree to end, and kill what is left after the grace."""
    family = members(pid)
    for member in family:
        _signal(member, kill=False)
    _gone, alive = psutil.wait_procs(family, timeout=grace)
    for member in alive:
        _signal(member, kill=True)
    psutil.wait_procs(alive, timeout=GONE_SECONDS)


def _signal(member: psutil.Process, *, kill: bool) -> None:
    try:
        member.kill() if kill else member.terminate()
    except psutil.NoSuchProcess:
        return


class Watch:
    """Samples what a tree uses, and ends it where it takes more memory than it was given."""

    def __init__(self, pid: int, memory_gb: float) -> None:
        """Watch over a process; nothing runs yet."""
        self._pid, self._limit_mb = pid, memory_gb * 1024
        self._done = threading.Event()
        self.curve: list[Sample] = []
        self.stopped: str | None = None

    def __enter__(self) -> Watch:
        """Begin, or go on."""
        self._done.clear()
        self._thread = threading.Thread(target=self._run, daemon=True, name=f"watch-{self._pid}")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Stop."""
        self._done.set()
        self._thread.join()

    def _run(self) -> None:
        began = last = time.monotonic()
        spent = 0.0
        while not self._done.wait(EVERY_SECONDS):
            now, (memory, cpu) = time.monotonic(), _usage(self._pid)
            percent = max(0.0, 100 * (cpu - spent) / (now - last))
            self.curve.append(Sample(round(now - began, 1), round(memory, 1), round(percent, 1)))
            last, spent = now, cpu
            if memory > self._limit_mb:
                self.stopped = (
                    f"the task used {memory / 1024:.2f} GB of memory and was given "
                    f"{self._limit_mb / 1024:.2f}; raise resources.<task>.memory_gb, or give it "
                    "less to do"
                )
                end(self._pid, grace=0)
                return


def _usage(pid: int) -> tuple[float, float]:
    """Give memory in MB and CPU seconds of the tree."""
    memory = cpu = 0.0
    family = members(pid)
    for member in family:
        try:
            times = member.cpu_times()
            memory += _memory(member, alone=len(family) == 1) / 2**20
            cpu += times.user + times.system
        except (psutil.NoSuchProcess, psutil.AccessDenied):
            continue
    return memory, cpu


def _memory(member: psutil.Process, *, alone: bool) -> int:
    """Give the bytes that a process has in memory; of what it shares its part, where that is told.

    Raises:
        NoSuchProcess, AccessDenied: As psutil's.
    """
    resident: int = member.memory_info().rss
    if alone:  # to look for what is shared takes a hundred times as long
        return resident
    try:
        part: int = getattr(member.memory_full_info(), "pss", resident)  # Linux alone tells it
    except psutil.AccessDenied:
        return resident
    return part
