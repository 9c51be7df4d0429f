"""Pods that a cluster lets no Job have: quotas, policies, what admission refuses."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_launch.cluster.state import FIRM_SECONDS, Cause, Ended, moment
from ml_tasks.errors import ExitCode

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ml_launch.cluster.state import Wanted

Event = dict[str, Any]
REASON = "FailedCreate"
"""What the cluster calls its events of it: a Job's status does not tell."""
SELECTOR = f"involvedObject.kind=Job,reason={REASON}"
GAP = timedelta(seconds=400)
"""Events of one wait are closer: a Job tries once a minute, of which every fifth is written down at
least. https://github.com/kubernetes/kubernetes/blob/v1.34.0/pkg/controller/job/job_controller.go
"""
_QUOTA = re.compile(
    r"exceeded quota: (?P<name>[^,]+), requested: (?P<requested>.+), used: (?P<used>.+), "
    r"limited: (?P<limited>.+)"
)


@dataclass(frozen=True, slots=True)
class Refusal:
    """That a Job's pods are not created."""

    since: datetime
    said: str
    passing: bool
    """Whether it may end by itself, as others' pods do that a quota counts."""


def refusal(events: Iterable[Event], now: datetime) -> Refusal | None:
    """Tell whether a Job's pods are refused now, and since when, by its events of that."""
    spans = sorted(((_last(one), _first(one), one) for one in events), key=lambda s: s[:2])
    if not spans or now - spans[-1][0] > GAP:
        return None
    since = spans[-1][1]
    for last, first, _event in reversed(spans):
        if since - last > GAP:
            break
        since = min(since, first)
    message = str(spans[-1][2].get("message", ""))
    if said := quota(message):
        return Refusal(since, said, passing=True)
    return Refusal(since, message, passing="forbidden" not in message)


def quota(message: str) -> str:
    """Say which quota a refusal is for, with its numbers; nothing where it is for none."""
    said = "quota {name}: requested {requested}; used {used}; limited to {limited}"
    found = _QUOTA.search(message)
    return said.format(**found.groupdict()) if found else ""


def line(found: Refusal) -> str:
    """Say what the task waits for."""
    return f"no pod is created: {found.said}"


def verdict(found: Refusal | None, wanted: Wanted, now: datetime) -> Ended | None:
    """Tell whether a wait for pods was long enough: as long as for a node, where it may end."""
    if found is None:
        return None
    waited = (now - found.since).total_seconds()
    if not found.passing and waited > FIRM_SECONDS:
        why = f"no pod of {wanted.task} is created: {found.said}"
        return Ended(Cause.CONFIG, why, int(ExitCode.CONFIG))
    if waited > wanted.pending_seconds:
        return Ended(
            Cause.UNSCHEDULABLE,
            f"no pod of {wanted.task} was created in {wanted.pending_seconds:.0f} s: {found.said}; "
            f"ask for less in resources.{wanted.task}, or for more quota",
            int(ExitCode.RETRY),
        )
    return None


def _last(event: Event) -> datetime:
    series = event.get("series") or {}
    return moment(
        series.get("lastObservedTime") or event.get("lastTimestamp") or event["eventTime"]
    )


def _first(event: Event) -> datetime:
    return moment(event.get("firstTimestamp") or event.get("eventTime") or event["lastTimestamp"])
