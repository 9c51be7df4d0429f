"""Why Jobs of a namespace have no pods, looked up together for all that are waited for."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from kubernetes_asyncio import client

from ml_launch.cluster import admission, answers, waiting
from ml_launch.cluster.answers import FAULTS
from ml_launch.cluster.refusal import FORBIDDEN, NOT_FOUND, RefusedError

if TYPE_CHECKING:
    from ml_launch.cluster.admission import Event
    from ml_launch.cluster.state import Job

log = logging.getLogger(__name__)
SECONDS = 5
"""Whoever waits for a Job waits for its reasons, too."""


class Reasons:
    """Refusals of pods, and what Kueue says of Jobs in its queues."""

    def __init__(self, namespace: str) -> None:
        """Nothing was looked up yet."""
        self._namespace = namespace
        self._refusals: dict[str, list[Event]] = {}
        self._turns: dict[str, str] = {}
        self._never: set[str] = set()

    def refusals(self, job: str) -> list[Event]:
        """Give the events by which pods were refused to a Job."""
        return self._refusals.get(job, [])

    def turn(self, job: Job) -> str:
        """Give Kueue's word why it is not a Job's turn; nothing where it is not known."""
        return self._turns.get(job["metadata"]["uid"], "")

    async def look(self, api: client.ApiClient, *, queued: bool) -> None:
        """Look anew; what may not be read, or is not there, is not asked for again.

        Args:
            api: Whom to ask.
            queued: Some Job waits in a queue.
        """
        for ask in (self._ask_refusals, self._ask_turns) if queued else (self._ask_refusals,):
            if ask.__name__ in self._never:
                continue
            try:
                await ask(api)
            except (RefusedError, *FAULTS) as fault:
                if getattr(fault, "status", None) in (FORBIDDEN, NOT_FOUND):
                    self._never.add(ask.__name__)
                log.info("why Jobs of %s have no pods is not known: %s", self._namespace, fault)

    async def _ask_refusals(self, api: client.ApiClient) -> None:
        found: dict[str, list[Event]] = {}
        listed = await answers.read(
            client.CoreV1Api(api).list_namespaced_event, self._namespace,
            field_selector=admission.SELECTOR, _request_timeout=SECONDS,
        )  # fmt: skip
        for one in listed["items"]:
            found.setdefault(one["involvedObject"]["name"], []).append(one)
        self._refusals = found

    async def _ask_turns(self, api: client.ApiClient) -> None:
        listed = await answers.read(
            api.call_api, waiting.WORKLOADS.format(self._namespace), "GET",
            header_params={"Accept": "application/json"}, auth_settings=["BearerToken"],
            _request_timeout=SECONDS,
        )  # fmt: skip
        self._turns = waiting.turns(listed["items"])
