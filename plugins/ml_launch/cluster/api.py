"""What we ask of the Kubernetes API; pods and Jobs come as the JSON that it writes."""

from __future__ import annotations

import contextlib
import json
import logging
import time
from functools import cached_property
from typing import TYPE_CHECKING, Any

from kubernetes import client, config
from kubernetes.client.exceptions import ApiException
from kubernetes.config.config_exception import ConfigException
from urllib3.exceptions import HTTPError

from ml_launch.cluster import admission
from ml_launch.cluster.lines import Pieces
from ml_launch.cluster.refusal import CONFLICT, FORBIDDEN, NOT_FOUND, RefusedError, said
from ml_launch.cluster.state import CONTAINER
from ml_tasks.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml_launch.cluster.job import Manifest
    from ml_launch.cluster.state import Job, Pod

log = logging.getLogger(__name__)
AWAY_SECONDS = 600
"""How long the API may be away before a task is given up; its pods go on meanwhile."""
FULL_SECONDS = 300
"""How long a quota of Jobs may have no room: others need this worker to remove those that ended."""
PAUSE_SECONDS = 1.0
WATCH_SECONDS = 5
TIMEOUT = 10
QUICK = 5
BUSY = 429
SERVER_FAULT = 500


class Cluster:
    """One namespace of a cluster."""

    def __init__(self, namespace: str) -> None:
        """Find the cluster: the one this runs in, else the one that KUBECONFIG names.

        Raises:
            ConfigError: There is neither.
        """
        self.namespace = namespace
        try:
            config.load_config()
        except ConfigException as fault:
            raise ConfigError(
                f"PERENNIAL_LAUNCHER=kubernetes: no cluster is known here ({fault}); set "
                "KUBECONFIG, or run inside one"
            ) from fault

    @cached_property
    def _core(self) -> client.CoreV1Api:
        return client.CoreV1Api()

    @cached_property
    def _batch(self) -> client.BatchV1Api:
        return client.BatchV1Api()

    def jobs(self, selector: str) -> list[Job]:
        """List the Jobs with these labels."""
        return self._items(self._batch.list_namespaced_job, selector)

    def job(self, name: str) -> Job | None:
        """Give a Job; `None` where there is none of that name."""
        try:
            return self._patiently(
                lambda: self._read(self._batch.read_namespaced_job, name, self.namespace)
            )
        except RefusedError as fault:
            if fault.status == NOT_FOUND:
                return None
            raise

    def pods(self, selector: str) -> list[Pod]:
        """List the pods with these labels."""
        return self._items(self._core.list_namespaced_pod, selector)

    def create(self, job: Manifest) -> Job | None:
        """Create a Job, once a quota of Jobs has room; `None` where there is one of that name.

        Raises:
            ConfigError: The API refused it: rights, what the manifest says.
        """

        def ask() -> Manifest:
            return self._read(self._batch.create_namespaced_job, self.namespace, job)

        try:
            return self._patiently(ask)
        except RefusedError as fault:
            if fault.status == CONFLICT:
                return None
            raise

    def delete_job(self, name: str) -> None:
        """Remove a Job with its pods; one that is gone is no fault."""
        self._delete(self._batch.delete_namespaced_job, name, propagation_policy="Background")

    def forget_pod(self, name: str) -> None:
        """Remove a pod from the books whose node does not answer."""
        self._delete(self._core.delete_namespaced_pod, name, grace_period_seconds=0)

    def ask(self, path: str, **query: str) -> Manifest:
        """Read what lies at a path, once.

        Raises:
            PermissionError: It may not be read.
            OSError: It is not there, or there was no answer.
        """
        try:
            answer = self._core.api_client.call_api(
                path, "GET", query_params=list(query.items()), auth_settings=["BearerToken"],
                header_params={"Accept": "application/json"},
                _preload_content=False, _request_timeout=QUICK,
            )  # fmt: skip
            read: Manifest = json.loads(answer.data)
        except ApiException as fault:
            kind = PermissionError if fault.status == FORBIDDEN else OSError
            raise kind(said(fault.body, fault.reason)) from fault
        except HTTPError as fault:
            raise OSError(_short(fault)) from fault
        return read

    def events(self, names: set[str]) -> list[str]:
        """Give what the cluster said of these Jobs and pods, oldest first, a line each."""
        try:
            found = self._items(self._core.list_namespaced_event, None)
        except ConfigError as fault:
            return [f"no events: {fault}"]
        told = [e for e in found if e["involvedObject"].get("name") in names]
        told.sort(key=lambda e: str(e.get("lastTimestamp") or e.get("eventTime") or ""))
        return [
            f"{e['involvedObject']['kind']} {e['involvedObject']['name']}: "
            f"{e.get('reason', '')}: {e.get('message', '')}"
            for e in told
        ]

    def refusals(self, job: str) -> list[Manifest]:
        """Give the events by which pods were refused to a Job; none where they may not be read."""
        which = f"{admission.SELECTOR},involvedObject.name={job}"
        try:
            found = self._patiently(
                lambda: self._read(
                    self._core.list_namespaced_event, self.namespace, field_selector=which
                )
            )
        except RefusedError:
            return []
        items: list[Manifest] = found["items"]
        return items

    def changes(self, selector: str) -> Iterator[list[Pod]]:
        """Give the pods with these labels, again with each change, and every few seconds."""
        while True:
            listed = self._listed(selector)
            pods = {pod["metadata"]["uid"]: pod for pod in listed["items"]}
            version = listed["metadata"]["resourceVersion"]
            yield list(pods.values())
            with contextlib.suppress(_OutdatedError):
                while True:
                    for change in self._watched(selector, version):
                        pod = change["object"]
                        version = pod["metadata"]["resourceVersion"]
                        pods[pod["metadata"]["uid"]] = pod
                        if change["type"] == "DELETED":
                            del pods[pod["metadata"]["uid"]]
                        yield list(pods.values())
                    yield list(pods.values())

    def log_lines(self, pod: str, since: str | None) -> Iterator[str]:
        """Give the lines of a pod's log as they come, each with its time before it.

        Raises:
            ConfigError: It may not be read.
            OSError: The connection broke, or the log is not there.
        """
        more = {"since_time": since} if since else {}
        try:
            answer = self._core.read_namespaced_pod_log(
                pod, self.namespace, container=CONTAINER, follow=True, timestamps=True,
                _preload_content=False, _request_timeout=(TIMEOUT, None), **more,
            )  # fmt: skip
            yield from _lines(answer)
        except (ApiException, HTTPError) as fault:
            _raise_if_forbidden(fault)
            raise OSError(str(fault)) from fault

    def _listed(self, selector: str) -> Manifest:
        return self._patiently(
            lambda: self._read(
                self._core.list_namespaced_pod, self.namespace, label_selector=selector
            )
        )

    def _watched(self, selector: str, version: str) -> Iterator[Manifest]:
        """Give changes until the server ends the watch; none where it cannot be reached.

        Raises:
            _OutdatedError: The version is too old, so that a new list is wanted.
            ConfigError: They may not be watched.
        """
        try:
            answer = self._core.list_namespaced_pod(
                self.namespace, label_selector=selector, watch=True, resource_version=version,
                timeout_seconds=WATCH_SECONDS, _preload_content=False,
                _request_timeout=(TIMEOUT, WATCH_SECONDS + TIMEOUT),
            )  # fmt: skip
            for line in _lines(answer):
                change: Manifest = json.loads(line)
                if change["type"] == "ERROR":
                    raise _OutdatedError
                yield change
        except (ApiException, HTTPError) as fault:
            _raise_if_forbidden(fault)
            log.info("the watch over pods broke (%s): listing them anew", _short(fault))
            time.sleep(PAUSE_SECONDS)
            raise _OutdatedError from fault

    def _items(self, call: Callable[..., Any], selector: str | None) -> list[Manifest]:
        more = {} if selector is None else {"label_selector": selector}
        found = self._patiently(lambda: self._read(call, self.namespace, **more))
        items: list[Manifest] = found["items"]
        return items

    def _delete(self, call: Callable[..., Any], name: str, **how: Any) -> None:
        try:
            self._patiently(lambda: self._read(call, name, self.namespace, **how))
        except RefusedError as fault:
            if fault.status != NOT_FOUND:
                raise

    def _read(self, call: Callable[..., Any], *args: Any, **rest: Any) -> Manifest:
        answer = call(*args, **rest, _preload_content=False, _request_timeout=TIMEOUT)
        read: Manifest = json.loads(answer.data)
        return read

    def _patiently(self, ask: Callable[[], Manifest]) -> Manifest:
        """Ask until there is an answer.

        Raises:
            BackendError: There was none for ten minutes, or for one no room in a quota.
            ConfigError: The answer is no.
        """
        limits: dict[int, float] = {}
        while True:
            try:
                return ask()
            except ApiException as fault:
                told = said(fault.body, fault.reason)
                # Others' Jobs end, and make room.
                full = admission.quota(told)
                is_no = fault.status and fault.status < SERVER_FAULT and fault.status != BUSY
                if is_no and not full:
                    raise RefusedError(fault.status, told) from fault
                why = full or f"the Kubernetes API does not answer: {_short(fault)}"
            except HTTPError as fault:
                full, why = "", f"the Kubernetes API does not answer: {_short(fault)}"
            patience = FULL_SECONDS if full else AWAY_SECONDS
            if time.monotonic() > limits.setdefault(patience, time.monotonic() + patience):
                raise BackendError(f"{why}; it was asked for {patience} s")
            log.info("%s; asking again", why)
            time.sleep(PAUSE_SECONDS)


class _OutdatedError(Exception):
    pass


def _lines(answer: Any) -> Iterator[str]:
    pieces = Pieces()
    for piece in answer.stream(amt=None, decode_content=False):
        yield from pieces.take(piece)
    yield from pieces.end()


def _raise_if_forbidden(fault: Exception) -> None:
    if isinstance(fault, ApiException) and fault.status == FORBIDDEN:
        raise RefusedError(FORBIDDEN, said(fault.body, fault.reason)) from fault


def _short(fault: Exception) -> str:
    return str(fault).splitlines()[0][:200] if str(fault) else type(fault).__name__
