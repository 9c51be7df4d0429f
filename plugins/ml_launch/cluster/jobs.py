"""The Jobs of one task: the one that works on it is found again, or another is started."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ml_launch.cluster import job, state, waiting
from ml_tasks.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_launch.cluster.api import Cluster
    from ml_launch.cluster.job import Manifest
    from ml_launch.command import Command

log = logging.getLogger(__name__)
POLL_SECONDS = 1.0
SETTLE_SECONDS = job.GRACE_SECONDS + state.GONE_SECONDS + 10


class Jobs:
    """What a cluster has of one task of one run."""

    def __init__(
        self,
        cluster: Cluster,
        command: Command,
        make: Callable[[int, float], Manifest],
        go_on: Callable[[], None],
    ) -> None:
        """Ask nothing yet.

        Args:
            cluster: Where they are.
            command: The task.
            make: Makes one, of how often the task was begun before, and how many seconds it waited
                in a queue then.
            go_on: Raises where nothing is to be started any more.
        """
        self._cluster, self._command = cluster, command
        self._make, self._go_on = make, go_on
        self._selector = job.owned(job.KEY, job.key(command))
        self._newest = -1

    def found(self) -> Manifest | None:
        """Give the one that works on the task, or did and was not read yet; end all others."""
        known = self._cluster.jobs(self._selector)
        self._newest = max([self._newest, *map(job.restart, known)])
        jobs = [one for one in known if not state.is_leaving(one)]
        own = str(self._command.attempt)
        live = [
            one
            for one in jobs
            # What it needs may have been made again since: other inputs are other work.
            if self._command.is_in(job.argv(one))
            and (not state.has(one, "Failed") or one["metadata"]["labels"][job.ATTEMPT] == own)
        ]
        found = max(live, key=job.restart, default=None)
        for one in jobs:
            if one is not found:
                self._cluster.delete_job(state.name(one))
        if found is not None:
            log.info("the task runs already as Job %s: following it", state.name(found))
        return found

    def start(self, queued: float = 0.0) -> Manifest:
        """Create one, once no process of an earlier one can still run.

        Where another launcher of this very task was quicker, it is the one that is given.

        Args:
            queued: How many seconds the earlier ones waited in a queue.

        Raises:
            ConfigError: The cluster refused it.
            BackendError: It does not answer, earlier pods do not end, or nothing is to be started.
        """
        if (found := self._settled()) is not None:
            return found
        self._newest += 1
        made = self._cluster.create(self._make(self._newest, queued))
        return self.start(queued) if made is None else made

    def end(self) -> None:
        """Remove all of them."""
        for one in self._cluster.jobs(self._selector):
            self._cluster.delete_job(state.name(one))

    def forget_lost(self, pods: list[state.Pod], now: datetime) -> None:
        """Remove the pods whose nodes do not answer from the books."""
        for name in waiting.lost(pods, now):
            self._cluster.forget_pod(name)

    def _settled(self) -> Manifest | None:
        """Wait for the ends of earlier pods; those of nodes that do not answer are forgotten.

        Returns:
            The Job that another launcher has started meanwhile.

        Raises:
            BackendError: They do not end.
        """
        limit = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < limit:
            self._go_on()
            if (found := self.found()) is not None:
                return found
            now = datetime.now(UTC)
            pods = self._cluster.pods(self._selector)
            # Those of a Job that is gone stay for a while: none is given its name again.
            self._newest = max([self._newest, *map(job.restart, pods)])
            self.forget_lost(pods, now)
            alive = [state.name(pod) for pod in pods if state.alive(pod, now)]
            if not alive:
                return None
            log.info("waiting for the end of %s", ", ".join(alive))
            time.sleep(POLL_SECONDS)
        raise BackendError(
            f"pods of an earlier try do not end: {', '.join(alive)}; see kubectl describe pod"
        )
