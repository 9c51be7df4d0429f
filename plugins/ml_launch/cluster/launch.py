"""Runs a task as a Job, and finds it again when it runs already."""

from __future__ import annotations

import logging
import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING

from ml_launch.cluster import admission, job, state, waiting
from ml_launch.cluster.api import Cluster
from ml_launch.cluster.jobs import Jobs
from ml_launch.cluster.logs import Logs
from ml_launch.cluster.usage import Kubelets, Use
from ml_launch.outcome import Outcome, Tail, result_at
from ml_tasks.errors import BackendError, ExitCode
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
LOOK_SECONDS = 5.0
"""How often it is asked why there are no pods; at first they are only not there yet."""
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
        """Describe it; nothing is asked of the cluster yet.

        Raises:
            ConfigError: Its processes do not fill whole pods.
        """
        self._cluster, self._command, self._resources = cluster, command, resources

        def make(number: int, queued: float) -> Manifest:
            return job.manifest(command, resources, environment, template, number, queued)

        self._jobs = Jobs(cluster, command, make, self._go_on)
        self._job: Manifest = {}
        self._over: Outcome | None = None
        self._begun = False
        self._queued_before, self._known_attempt = 0.0, 0
        self.found = False
        self._wanted = state.Wanted(
            command.task,
            job.pods_of(command, resources),
            resources,
            environment.pending_minutes * 60,
        )
        self._tail, self._stopped, self._abandoned = Tail(), "", ""
        self._use, self._kubelets = Use(resources.memory_gb), Kubelets(cluster)
        self._refusal: admission.Refusal | None = None
        self._next_look = 0.0

    def begin(self) -> None:
        """Take up the Job of this task that runs already, or start one.

        Where its trigger has seen pods of a Job that is gone by now and has left a good result,
        another process of this try has read that, and nothing runs again.

        Raises:
            ConfigError: The cluster refused it.
            BackendError: The cluster does not answer, or the task was stopped meanwhile.
        """
        self._begun = True
        self._take(self._jobs.found() or {})
        if not self._job:
            self._over = self._read_elsewhere()
        self.found = bool(self._job) or self._over is not None
        if not self.found:
            self._take(self._jobs.start(self._queued_before))
            self._next_look = time.monotonic() + LOOK_SECONDS / 2

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
        labels = self._job["metadata"]["labels"] if self._job else {}
        began = labels.get(job.ATTEMPT, self._known_attempt or self._command.attempt)
        return self._command.result_of(int(began))

    def follow(self, on_line: Callable[[str], None]) -> Outcome:
        """Hand each line of its log on, and give what became of it; after a break it goes on."""
        while (outcome := self.once(on_line)) is None:
            pass
        return outcome

    def once(self, on_line: Callable[[str], None]) -> Outcome | None:
        """Follow its pods to their ends; `None` where they were begun again."""
        if self._over is not None:
            return self._over
        if not self._job:
            return Outcome(int(ExitCode.RETRY), None, stopped=self._stopped or "it was not begun")

        def show(line: str) -> None:
            self._tail.add(line)
            on_line(line)

        logs = Logs(self._cluster, show, self._wanted.pods)
        how = self._awaited(logs, on_line)
        logs.drain()
        self._use.write(self.result)
        if how.again and not self._stopped and job.restart(self._job) < RESTARTS:
            present = self._seen()
            if present is None and (left := self._read_elsewhere()) is not None:
                return left
            on_line(f"{how.message}: starting again, which does not count as a try")
            self._begin_again(present or self._job)
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
        """Take up what its trigger has seen of its Job and pods, before it is begun."""
        self._use.recall(seen)
        self._queued_before, self._known_attempt = seen.get("queued", 0.0), seen.get("attempt", 0)

    def trigger(self, until: float) -> JobTrigger | None:
        """Give what waits for it in Airflow's triggerer; none where it has ended by now."""
        if self._over is not None:
            return None
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
            uid=self._job["metadata"].get("uid", ""),
            settled=time.time() + SETTLED_SECONDS,
        )

    def stop(self, why: str = "the task was stopped from outside") -> None:
        """End it: its pods are given their grace, then they are gone."""
        self._stopped = why
        if self._begun:  # what is being created has no name here yet
            self._jobs.end()

    def abandon(self, why: str) -> None:
        """Leave it alone: the next attempt finds it."""
        self._abandoned = why

    def _take(self, found: Manifest) -> None:
        """Work with a Job, unless the task was stopped while that was found or created."""
        self._job = found
        if found and self._stopped:
            self._cluster.delete_job(self.name)
        self._go_on()

    def _read_elsewhere(self) -> Outcome | None:
        """Give the good end that another process of this try has read, the Job being gone."""
        left = Outcome(int(ExitCode.OK), result_at(self.result) if self._known_attempt else None)
        return left if left.succeeded else None

    def _begin_again(self, before: Manifest) -> None:
        queued = waiting.queued(before, datetime.now(UTC))
        self._cluster.delete_job(self.name)
        # What the lost try wrote of its end is not the word on the task.
        objects.delete(self.result)
        self.found = False
        self._take(self._jobs.start(queued))

    def _go_on(self) -> None:
        """Begin nothing more where somebody has stopped it, or goes on with it.

        Raises:
            BackendError: Why that is so.
        """
        if said := self._stopped or self._abandoned:
            raise BackendError(said)

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
        self._jobs.forget_lost(pods, now)
        return waiting.verdict(
            pods, self._wanted, now, self._seen, lambda: self._refused(pods, now)
        )

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


def prepare(command: Command, resources: TaskResources, environment: Environment) -> JobLaunch:
    """Describe a task that is to be a Job."""
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
