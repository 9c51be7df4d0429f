"""One watch over all our pods of a namespace, for whoever of a process waits for some of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import time
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import aiohttp
from kubernetes_asyncio import client, config
from kubernetes_asyncio.client.exceptions import ApiException

from ml_launch.cluster import answers, usage
from ml_launch.cluster.answers import FAULTS
from ml_launch.cluster.job import OWNER
from ml_launch.cluster.reasons import Reasons
from ml_launch.cluster.refusal import CONFLICT, NOT_FOUND, RefusedError
from ml_launch.cluster.state import CONTAINER, is_suspended, name

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable

    from ml_launch.cluster.state import Job, Pod
    from ml_launch.cluster.usage import Measure

log = logging.getLogger(__name__)
SELECTOR = f"{OWNER}=perennial"
OF_JOB = "batch.kubernetes.io/job-name"
WATCH_SECONDS = 30
"""How long one watch lasts; whose other end falls silent is given up soon after."""
SILENT_SECONDS = 10
LIST_SECONDS = 30
JOBS_SECONDS = 10
PAUSE_SECONDS = 1.0
DELETE_SECONDS = 10
INSIST_SECONDS = 20
"""How long an API that is away is asked to remove a Job: what is cleared has half a minute."""
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10)


@dataclass
class _Seen:
    """What is known of one Job, and who is to be told of it."""

    pods: dict[str, Pod] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)
    guests: int = 0


class Hub:
    """Pods and Jobs of a namespace, as they are."""

    _open: ClassVar[dict[tuple[int, str], Hub]] = {}

    def __init__(self, namespace: str) -> None:
        """Nothing is watched yet."""
        self._namespace = namespace
        self._jobs: dict[str, Job] = {}
        self._listed = 0
        self._seen: dict[str, _Seen] = {}
        self._refused: RefusedError | None = None
        self.reasons = Reasons(namespace)
        self.measured: dict[str, Measure] = {}
        self.samples = 0
        self._guests = 0
        self._work: list[asyncio.Task[None]] = []
        self._opening = asyncio.Lock()
        self._api: client.ApiClient

    @classmethod
    @asynccontextmanager
    async def of(cls, namespace: str) -> AsyncIterator[Hub]:
        """Share the hub of a namespace; the last who leaves closes it."""
        key = (id(asyncio.get_running_loop()), namespace)
        hub = cls._open.setdefault(key, cls(namespace))
        hub._guests += 1
        try:
            await hub._begin()
            yield hub
        finally:
            hub._guests -= 1
            if not hub._guests:
                cls._open.pop(key, None)
                await hub._end()

    async def changes(self, job: str, every: float) -> AsyncGenerator[list[Pod], None]:
        """Give a Job's pods, again with each change, and after a while without one.

        Raises:
            ConfigError: They may not be read here.
        """
        seen = self._seen.setdefault(job, _Seen())
        seen.guests += 1
        try:
            while True:
                if self._refused is not None:
                    raise self._refused
                yield list(seen.pods.values())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(seen.changed.wait(), every)
                seen.changed.clear()
        finally:
            seen.guests -= 1
            if not seen.pods and not seen.guests:
                self._seen.pop(job, None)

    def mark(self) -> int:
        """Give a mark; who asks for Jobs with it waits for a list that is newer."""
        return self._listed

    def job(self, job: str, mark: int) -> Job | None:
        """Give a Job, `None` where it is gone; an empty one while nothing newer is known."""
        unknown: Job = {"metadata": {"name": job}}
        # The list that was on its way at the mark may be older than the Job.
        return self._jobs.get(job) if self._listed > mark + 1 else self._jobs.get(job, unknown)

    async def log_lines(self, pod: str, since: str | None) -> AsyncIterator[str]:
        """Give the lines of a pod's log as they come, each with its time before it.

        Raises:
            ConfigError: It may not be read.
            OSError: The connection broke, or the log is not there.
        """
        more = {"since_time": since} if since else {}
        try:
            answer = await answers.asked(
                client.CoreV1Api(self._api).read_namespaced_pod_log, pod, self._namespace,
                container=CONTAINER, follow=True, timestamps=True, _request_timeout=TIMEOUT, **more,
            )  # fmt: skip
            async for line in answers.lines(answer):
                yield line
        except (ApiException, aiohttp.ClientError) as fault:
            raise OSError(str(fault)) from fault

    async def forget_pod(self, pod: str) -> None:
        """Remove a pod from the books whose node does not answer."""
        await self._delete(
            client.CoreV1Api(self._api).delete_namespaced_pod, pod, grace_period_seconds=0
        )

    async def delete_job(self, job: str, uid: str) -> None:
        """Remove a Job with its pods; where the API does not answer it is asked again."""
        ask = client.BatchV1Api(self._api).delete_namespaced_job
        how = {"propagationPolicy": "Background", "preconditions": {"uid": uid} if uid else None}
        limit = time.monotonic() + INSIST_SECONDS
        while not await self._delete(ask, job, body=how):
            if time.monotonic() > limit:
                return
            await asyncio.sleep(PAUSE_SECONDS)

    async def _delete(self, call: Callable[..., Any], what: str, **how: Any) -> bool:
        """Tell whether it is gone."""
        try:
            await answers.asked(call, what, self._namespace, _request_timeout=DELETE_SECONDS, **how)
        except FAULTS as fault:
            if getattr(fault, "status", None) not in (NOT_FOUND, CONFLICT):
                log.warning("%s was not deleted: %s", what, fault)
                return False
        return True

    async def _begin(self) -> None:
        async with self._opening:  # a login may be asked for, and another guest come meanwhile
            if self._work:
                return
            await config.load_config()
            self._api = answers.unbounded()
            work = (self._watch_pods, self._list_jobs, self._sample)
            self._work = [asyncio.create_task(self._kept_up(one)) for one in work]

    async def _end(self) -> None:
        for one in self._work:
            one.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        if self._work:  # else there was no login
            await self._api.close()

    async def _kept_up(self, work: Callable[[], Awaitable[None]]) -> None:
        """Begin again after what nobody foresaw: all who wait here would wait for ever."""
        while True:
            try:
                return await work()
            except Exception:
                log.exception("what is known of %s is looked up anew", self._namespace)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _watch_pods(self) -> None:
        """List, then follow changes; after each break anew, unless that is forbidden."""
        core = client.CoreV1Api(self._api)
        while self._refused is None:
            try:
                listed = await answers.read(
                    core.list_namespaced_pod, self._namespace, label_selector=SELECTOR,
                    _request_timeout=LIST_SECONDS,
                )  # fmt: skip
                self._take_all(listed["items"])
                answer = await answers.asked(
                    core.list_namespaced_pod, self._namespace, label_selector=SELECTOR, watch=True,
                    resource_version=listed["metadata"]["resourceVersion"],
                    timeout_seconds=WATCH_SECONDS, _request_timeout=WATCH_SECONDS + SILENT_SECONDS,
                )  # fmt: skip
                async for line in answers.lines(answer):
                    change = json.loads(line)
                    if change["type"] == "ERROR":
                        break
                    self._take(change["object"], gone=change["type"] == "DELETED")
            except RefusedError as fault:
                self._give_up(fault)
            except FAULTS as fault:
                log.info("the watch over pods of %s broke: %s", self._namespace, fault)
                await asyncio.sleep(PAUSE_SECONDS)

    async def _list_jobs(self) -> None:
        batch = client.BatchV1Api(self._api)
        while self._refused is None:
            try:
                listed = await answers.read(
                    batch.list_namespaced_job, self._namespace, label_selector=SELECTOR,
                    _request_timeout=LIST_SECONDS,
                )  # fmt: skip
                self._jobs = {name(one): one for one in listed["items"]}
                self._listed += 1
                if lacking := self._lack_pods():
                    await self.reasons.look(self._api, queued=any(map(is_suspended, lacking)))
            except RefusedError as fault:
                self._give_up(fault)
            except FAULTS as fault:
                log.info("the Jobs of %s are not known: %s", self._namespace, fault)
            await asyncio.sleep(JOBS_SECONDS)

    def _lack_pods(self) -> list[Job]:
        """Give the Jobs that are waited for and have fewer pods than they should."""
        return [
            self._jobs[job]
            for job, seen in self._seen.items()
            if seen.guests
            and job in self._jobs
            and len(seen.pods) < self._jobs[job].get("spec", {}).get("parallelism", 1)
        ]

    async def _sample(self) -> None:
        """Ask the kubelets what pods that are waited for use, as long as that is allowed."""
        while True:
            waited = [seen.pods.values() for seen in self._seen.values() if seen.guests]
            nodes = usage.nodes_of(pod for pods in waited for pod in pods)
            found: dict[str, Measure] = {}
            for node in nodes:
                try:
                    told = await answers.read(
                        self._api.call_api, usage.summary(node), "GET",
                        query_params=list(usage.CPU_AND_MEMORY.items()),
                        header_params={"Accept": "application/json"}, auth_settings=["BearerToken"],
                        _request_timeout=LIST_SECONDS,
                    )  # fmt: skip
                except RefusedError as fault:
                    log.info("what pods use is not sampled: %s", fault)
                    return
                except FAULTS as fault:
                    log.debug("%s does not say what its pods use: %s", node, fault)
                    continue
                found |= {one["podRef"]["uid"]: one for one in told.get("pods", ())}
            self.measured, self.samples = found, self.samples + 1
            await asyncio.sleep(usage.EVERY_SECONDS if nodes else PAUSE_SECONDS)

    def _give_up(self, fault: RefusedError) -> None:
        self._refused = fault
        for seen in self._seen.values():
            seen.changed.set()

    def _take_all(self, pods: list[Pod]) -> None:
        self._seen = {job: seen for job, seen in self._seen.items() if seen.guests}
        for seen in self._seen.values():
            seen.pods.clear()
            seen.changed.set()
        for pod in pods:
            self._take(pod, gone=False)

    def _take(self, pod: Pod, *, gone: bool) -> None:
        job = pod["metadata"].get("labels", {}).get(OF_JOB)
        if job is None:
            return
        seen = self._seen.setdefault(job, _Seen())
        if gone:
            seen.pods.pop(pod["metadata"]["uid"], None)
        else:
            seen.pods[pod["metadata"]["uid"]] = pod
        seen.changed.set()
        if not seen.pods and not seen.guests:
            del self._seen[job]
