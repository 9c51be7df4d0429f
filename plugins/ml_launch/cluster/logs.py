"""Hands the logs of pods on while they are written."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

from ml_launch.cluster import state
from ml_launch.cluster.lines import DRAIN_SECONDS, PAUSE_SECONDS, TRIES, PodLog
from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from ml_launch.cluster.api import Cluster
    from ml_launch.cluster.state import Pod


class Logs:
    """One thread a pod."""

    def __init__(self, cluster: Cluster, on_line: Callable[[str], None], pods: int) -> None:
        """Nothing is read yet."""
        self._cluster, self._on_line, self._pods = cluster, on_line, pods
        self._threads: dict[str, threading.Thread] = {}

    def follow(self, pods: Sequence[Pod]) -> None:
        """Begin with the pods that have a log by now."""
        for pod in pods:
            uid = pod["metadata"]["uid"]
            if uid not in self._threads and state.runs(pod):
                log = PodLog(pod, self._pods)
                thread = threading.Thread(target=self._read, args=(log,), daemon=True, name=uid)
                self._threads[uid] = thread
                thread.start()

    def drain(self) -> None:
        """Wait until the logs of pods that have ended are read to their ends."""
        limit = time.monotonic() + DRAIN_SECONDS
        for thread in self._threads.values():
            thread.join(max(0.0, limit - time.monotonic()))

    def _read(self, log: PodLog) -> None:
        for _ in range(TRIES):
            try:
                for line in self._cluster.log_lines(log.pod, log.again()):
                    if (shown := log.shown(line)) is not None:
                        self._on_line(shown)
            except ConfigError as fault:
                self._on_line(log.refused(fault))
                return
            except OSError:
                time.sleep(PAUSE_SECONDS)
                continue
            return
