"""Hands the logs of pods on while they are written."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ml_launch.cluster import state
from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ml_launch.cluster.api import Cluster
    from ml_launch.cluster.state import Pod

TRIES = 20
PAUSE_SECONDS = 0.5
DRAIN_SECONDS = 10


class Logs:
    """One thread a pod; where there are several pods, each line says whose it is."""

    def __init__(self, cluster: Cluster, on_line: Callable[[str], None], pods: int) -> None:
        """Nothing is read yet."""
        self._cluster, self._on_line, self._pods = cluster, on_line, pods
        self._threads: dict[str, threading.Thread] = {}

    def follow(self, pods: Sequence[Pod]) -> None:
        """Begin with the pods that have a log by now."""
        for pod in pods:
            uid = pod["metadata"]["uid"]
            if uid not in self._threads and state.runs(pod):
                prefix = f"[{state.index(pod)}] " if self._pods > 1 else ""
                thread = threading.Thread(
                    target=self._read, args=(state.name(pod), prefix), daemon=True, name=uid
                )
                self._threads[uid] = thread
                thread.start()

    def drain(self) -> None:
        """Wait until the logs of pods that have ended are read to their ends."""
        limit = time.monotonic() + DRAIN_SECONDS
        for thread in self._threads.values():
            thread.join(max(0.0, limit - time.monotonic()))

    def _read(self, pod: str, prefix: str) -> None:
        last = ""
        for _ in range(TRIES):
            # After a break the log comes again from the whole second on.
            read = last
            try:
                for line in self._cluster.log_lines(pod, last or None):
                    at, _space, text = line.partition(" ")
                    if at > read:
                        last = at
                        self._on_line(prefix + text)
            except ConfigError as fault:
                self._on_line(f"{prefix}the log of {pod} is not shown: {fault}")
                return
            except OSError:
                time.sleep(PAUSE_SECONDS)
                continue
            return
