"""Runs a task as a Job, and finds it again when it runs already."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from ml_launch.cluster import admission, job, state, waiting
from ml_launch.cluster.api import Cluster
from ml_launch.cluster.logs import Logs
from ml_launch.cluster.usage import Kubelets, Use
from ml_launch.outcome import Outcome, Tail, result_at
from ml_tasks.errors import BackendError
from ml_tasks.io import objects

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping
    from typing import Any

    from ml_launch.cluster.job import Manifest
    from ml_launch.cluster.state import Ended, Pod
    from ml_launch.cluster.trigger import JobTrigger
    from ml_launch.command import Command
    from ml_tasks.config import Environment, TaskResources

log = logging.getLogger(__name__)
RESTARTS = 20
"""How often one try is begun again because the cluster took its pods away."""
POLL_SECONDS = 1.0
LOOK_SECONDS = 5.0
"""How often it is asked why there are no pods; at first they are only not there yet."""
SETTLE_SECONDS = job.GRACE_SECONDS + state.GONE_SECONDS + 10
SETTLED_SECONDS = 4.0
"""How long a wait lasts at least: until Airflow's scheduler has heard that the worker is free. It
takes that word for the end of the task where it comes after the task was begun again, and fails it.
"""
EVENTS = 20


class JobLaunch:
    """One task as a Job."""

    def __init__(
        self,
        cluster: Cluster,
        command: Command,
        resources: TaskResources,
        environment: Environment,
        template: Mapping[str, Any],
    ) -> None:
        """Take up the Job of this task that runs already, or start one.

        Raises:
            ConfigError: The cluster refused it.
            BackendError: The cluster does not answer.
        """
        self._cluster, self._command = cluster, command
        self._resources, self._environment, self._template = resources, environment, template
        self._wanted = state.Wanted(
            command.task,
            job.pods_of(command, resources),
            resources,
            environment.pending_minutes * 60,
        )
        self._tail, self._stopped, self._abandoned = Tail(), "", ""
        self._use, self._kubelets = Use(resources.memory_gb), Kubelets(cluster)
        self._refusal: admission.Refusal | None = None
        self._newest = -1
        found = self._found()
        self._next_look = time.monotonic() + (0 if found else LOOK_SECONDS / 2)
        self._job, self.found = found or self._start(), found is not None

    @property
    def name(self) -> str:
        """The Job's name."""
        return state.name(self._job)

    @property
    def wanted(self) -> state.Wanted:
        """What its pods are held against."""
        return self._wanted

    @property
    def result(self) -> str:
        """Address of the result: that of the attempt which began what runs."""
        began = self._job["metadata"]["labels"][job.ATTEMPT]
        return self._command.result_of(int(began))

    def follow(self, on_line: Callable[[str], None]) -> Outcome:
        """Hand each line of its log on, and give what became of it; after a break it goes on."""
        while (outcome := self.once(on_line)) is None:
            pass
        return outcome

    def once(self, on_line: Callable[[str], None]) -> Outcome | None:
        """Follow its pods to their ends; `None` where they were begun again."""

        def show(line: str) -> None:
            self._tail.add(line)
            on_line(line)

        logs = Logs(self._cluster, show, self._wanted.pods)
        how = self._awaited(logs, on_line)
        logs.drain()
        self._use.write(self.result)
        if how.again and not self._stopped and _restart(self._job) < RESTARTS:
            on_line(f"{how.message}: starting again, which does not count as a try")
            self._begin_again()
            return None
        told = [*self._tail.lines, *self._told()] if how.cause is not state.Cause.COMPLETED else []
        self._cluster.delete_job(self.name)
        stopped = self._stopped or (how.message if how.cause not in _OWN_END else "")
        return Outcome(
            exit_code=how.exit_code,
            result=result_at(self.result),
            tail=tuple(told),
            curve=tuple(self._use.curve),
            stopped=stopped or None,
            final=how.final,
        )

    def recall(self, seen: Mapping[str, Any]) -> None:
        """Take up what its trigger has seen of its pods."""
        self._use.recall(seen)

    def trigger(self, until: float) -> JobTrigger | None:
        """Give what waits for it in Airflow's triggerer; none where it has ended by now."""
        if self.found and self._how(self._cluster.pods(job.pods_with(self.name))):
            return None
        from ml_launch.cluster.trigger import JobTrigger

        return JobTrigger(
            namespace=self._cluster.namespace,
            job=self.name,
            task=self._command.task,
            pods=self._wanted.pods,
            resources=self._resources.model_dump(mode="json"),
            pending_seconds=self._wanted.pending_seconds,
            until=until,
            settled=time.time() + SETTLED_SECONDS,
        )

    def stop(self, why: str = "the task was stopped from outside") -> None:
        """End it: its pods are given their grace, then they are gone."""
        self._stopped = why
        self._cluster.delete_job(self.name)

    def abandon(self, why: str) -> None:
        """Leave it alone: the next attempt finds it."""
        self._abandoned = why

    def _found(self) -> Manifest | None:
        """Give the Job that works on this task, or did and was not read yet."""
        known = self._cluster.jobs(job.owned(job.KEY, job.key(self._command)))
        # Pods of one that is gone may still be listed: none is given its name again.
        self._newest = max([self._newest, *map(_restart, known)])
        jobs = [one for one in known if not state.is_leaving(one)]
        own = str(self._command.attempt)
        live = [
            one
            for one in jobs
            # What it needs may have been made again since: other inputs are other work.
            if self._command.is_in(job.argv(one))
            and (not state.has(one, "Failed") or one["metadata"]["labels"][job.ATTEMPT] == own)
        ]
        if live:
            found = max(live, key=_restart)
            log.info("the task runs already as Job %s: following it", state.name(found))
            return found
        for one in jobs:
            self._cluster.delete_job(state.name(one))
        return None

    def _start(self, restart: int | None = None) -> Manifest:
        """Create the Job, once no process of an earlier one can still run."""
        selector = job.owned(job.KEY, job.key(self._command))
        number = self._newest + 1 if restart is None else restart
        self._settle(selector)
        wanted = job.manifest(
            self._command, self._resources, self._environment, self._template, number
        )
        made = self._cluster.create(wanted)
        if made is not None:
            return made
        # Another launcher of this very task was quicker.
        return self._found() or self._start(number + 1)

    def _begin_again(self) -> None:
        self._cluster.delete_job(self.name)
        # What the lost try wrote of its end is not the word on the task.
        objects.delete(self.result)
        self.found = False
        self._job = self._start(_restart(self._job) + 1)

    def _settle(self, selector: str) -> None:
        """Wait for the ends of earlier pods; those of nodes that do not answer are forgotten.

        Raises:
            BackendError: They do not end.
        """
        limit = time.monotonic() + SETTLE_SECONDS
        while time.monotonic() < limit:
            now = datetime.now(UTC)
            pods = self._cluster.pods(selector)
            self._forget_lost(pods, now)
            alive = [state.name(pod) for pod in pods if state.alive(pod, now)]
            if not alive:
                return
            log.info("waiting for the end of %s", ", ".join(alive))
            time.sleep(POLL_SECONDS)
        raise BackendError(
            f"pods of an earlier try do not end: {', '.join(alive)}; see kubectl describe pod"
        )

    def _awaited(self, logs: Logs, on_line: Callable[[str], None]) -> Ended:
        """Follow the pods until the task has ended."""
        shown = ""
        for pods in self._changes():
            if self._abandoned:
                raise BackendError(self._abandoned)
            logs.follow(pods)
            self._use.look(pods)
            self._use.take(self._kubelets.measured(pods))
            how = self._how(pods)
            if how is not None:
                return how
            said = self._waits(pods)
            if said and said != shown:
                on_line(said)
            shown = said or shown
        raise AssertionError  # the changes never end

    def _how(self, pods: list[Pod]) -> Ended | None:
        now = datetime.now(UTC)
        self._forget_lost(pods, now)
        return waiting.verdict(
            pods, self._wanted, now, self._seen, lambda: self._refused(pods, now)
        )

    def _forget_lost(self, pods: list[Pod], now: datetime) -> None:
        for name in waiting.lost(pods, now):
            self._cluster.forget_pod(name)

    def _refused(self, pods: list[Pod], now: datetime) -> admission.Refusal | None:
        """Tell why there are fewer pods than there should be."""
        if len(pods) >= self._wanted.pods:
            self._refusal = None
        elif time.monotonic() >= self._next_look:
            self._next_look = time.monotonic() + LOOK_SECONDS
            self._refusal = admission.refusal(self._cluster.refusals(self.name), now)
        return self._refusal

    def _seen(self) -> Manifest | None:
        """Look at the Job anew; `None` where it is gone."""
        found = self._cluster.job(self.name)
        self._job = found or self._job
        return found

    def _waits(self, pods: list[Pod]) -> str:
        """Say what the Job waits for."""
        turn = partial(waiting.turn, self._cluster)
        return waiting.line(self._refusal, self._job, pods, turn)

    def _changes(self) -> Iterator[list[Pod]]:
        yield from self._cluster.changes(job.pods_with(self.name))

    def _told(self) -> list[str]:
        pods = self._cluster.pods(job.pods_with(self.name))
        return self._cluster.events({self.name, *map(state.name, pods)})[-EVENTS:]


_OWN_END = (state.Cause.COMPLETED, state.Cause.EXIT)


def start(command: Command, resources: TaskResources, environment: Environment) -> JobLaunch:
    """Start a task, or take up the Job that works on it."""
    return JobLaunch(
        Cluster(environment.namespace),
        command,
        resources,
        environment,
        job.template(environment.pod_template),
    )


def end_others(command: Command, tasks: Collection[str], environment: Environment) -> None:
    """Remove Jobs of a run's other tasks, which were ended before their triggers began to wait."""
    cluster = Cluster(environment.namespace)
    for left in cluster.jobs(job.owned(job.KEY, *(job.key(command, task) for task in tasks))):
        cluster.delete_job(state.name(left))


def _restart(found: Manifest) -> int:
    return int(found["metadata"]["labels"][job.RESTART])
