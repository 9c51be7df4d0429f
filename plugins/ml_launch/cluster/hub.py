"""One watch over all our pods of a namespace, for whoever of a process waits for some of them."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

import aiohttp
from kubernetes_asyncio import client, config
from kubernetes_asyncio.client.exceptions import ApiException

from ml_launch.cluster.job import OWNER
from ml_launch.cluster.refusal import FORBIDDEN, NOT_FOUND, RefusedError, said
from ml_launch.cluster.state import CONTAINER, name

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from ml_launch.cluster.state import Job, Pod

log = logging.getLogger(__name__)
SELECTOR = f"{OWNER}=perennial"
OF_JOB = "batch.kubernetes.io/job-name"
WATCH_SECONDS = 300
JOBS_SECONDS = 10
PAUSE_SECONDS = 1.0
TIMEOUT = aiohttp.ClientTimeout(total=None, sock_connect=10)
FAULTS = (ApiException, aiohttp.ClientError, TimeoutError)
REDIRECT = 300


@dataclass
class _Seen:
    """What is known of one Job, and who is to be told of it."""

    pods: dict[str, Pod] = field(default_factory=dict)
    changed: asyncio.Event = field(default_factory=asyncio.Event)


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
        self._guests = 0
        self._work: list[asyncio.Task[None]] = []
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

    async def changes(self, job: str, every: float) -> AsyncIterator[list[Pod]]:
        """Give a Job's pods, again with each change, and after a while without one.

        Raises:
            ConfigError: They may not be read here.
        """
        seen = self._seen.setdefault(job, _Seen())
        try:
            while True:
                if self._refused is not None:
                    raise self._refused
                yield list(seen.pods.values())
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(seen.changed.wait(), every)
                seen.changed.clear()
        finally:
            if not seen.pods:
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
            answer = await _asked(
                client.CoreV1Api(self._api).read_namespaced_pod_log, pod, self._namespace,
                container=CONTAINER, follow=True, timestamps=True, _request_timeout=TIMEOUT, **more,
            )  # fmt: skip
            async for line in _lines(answer):
                yield line
        except (ApiException, aiohttp.ClientError) as fault:
            raise OSError(str(fault)) from fault

    async def forget_pod(self, pod: str) -> None:
        """Remove a pod from the books whose node does not answer."""
        await self._delete(
            client.CoreV1Api(self._api).delete_namespaced_pod, pod, grace_period_seconds=0
        )

    async def delete_job(self, job: str) -> None:
        """Remove a Job with its pods."""
        await self._delete(
            client.BatchV1Api(self._api).delete_namespaced_job,
            job,
            propagation_policy="Background",
        )

    async def _delete(self, call: Callable[..., Any], what: str, **how: Any) -> None:
        try:
            await _asked(call, what, self._namespace, **how)
        except FAULTS as fault:
            if getattr(fault, "status", None) != NOT_FOUND:
                log.warning("%s was not deleted: %s", what, fault)

    async def _begin(self) -> None:
        if self._work:
            return
        if not hasattr(self, "_api"):
            await config.load_config()
            self._api = client.ApiClient()
        self._work = [
            asyncio.create_task(self._watch_pods()),
            asyncio.create_task(self._list_jobs()),
        ]

    async def _end(self) -> None:
        for one in self._work:
            one.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)
        await self._api.close()

    async def _watch_pods(self) -> None:
        """List, then follow changes; after each break anew, unless that is forbidden."""
        core = client.CoreV1Api(self._api)
        while self._refused is None:
            try:
                listed = await _read(
                    core.list_namespaced_pod, self._namespace, label_selector=SELECTOR
                )
                self._take_all(listed["items"])
                answer = await _asked(
                    core.list_namespaced_pod, self._namespace, label_selector=SELECTOR, watch=True,
                    resource_version=listed["metadata"]["resourceVersion"],
                    timeout_seconds=WATCH_SECONDS, _request_timeout=TIMEOUT,
                )  # fmt: skip
                async for line in _lines(answer):
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
                listed = await _read(
                    batch.list_namespaced_job, self._namespace, label_selector=SELECTOR
                )
                self._jobs = {name(one): one for one in listed["items"]}
                self._listed += 1
            except RefusedError as fault:
                self._give_up(fault)
            except FAULTS as fault:
                log.info("the Jobs of %s are not known: %s", self._namespace, fault)
            await asyncio.sleep(JOBS_SECONDS)

    def _give_up(self, fault: RefusedError) -> None:
        self._refused = fault
        for seen in self._seen.values():
            seen.changed.set()

    def _take_all(self, pods: list[Pod]) -> None:
        for seen in self._seen.values():
            if seen.pods:
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


async def _read(call: Callable[..., Any], *args: Any, **rest: Any) -> dict[str, Any]:
    answer = await _asked(call, *args, **rest, _request_timeout=30)
    read: dict[str, Any] = json.loads(await answer.read())
    return read


async def _asked(call: Callable[..., Any], *args: Any, **rest: Any) -> Any:
    """Give an answer that is still to be read.

    Raises:
        RefusedError: It may not be asked.
        ApiException: The answer is another fault; the client itself then looks at no status.
    """
    answer = await call(*args, **rest, _preload_content=False)
    if answer.status < REDIRECT:
        return answer
    told = said(await answer.read(), answer.reason)
    if answer.status == FORBIDDEN:
        raise RefusedError(answer.status, told)
    raise ApiException(status=answer.status, reason=told)


async def _lines(answer: Any) -> AsyncIterator[str]:
    rest = b""
    async for piece in answer.content.iter_any():
        *whole, rest = (rest + piece).split(b"\n")
        for line in whole:
            yield line.decode(errors="replace")
    if rest:
        yield rest.decode(errors="replace")
