"""Asks for a training because another system reported something, within the policies' limits."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from airflow.sdk.exceptions import AirflowSkipException

from ml_tasks import config
from ml_tasks.config import Environment, limits
from ml_tasks.config.outside import OUTSIDE
from ml_tasks.errors import LimitError
from ml_tasks.io.audit import rolled_back
from ml_tasks.io.control import Control, Report
from ml_tasks.io.reports import OPEN
from ml_tasks.io.triggers import ASKED, by_policies
from ml_tasks.io.windows import NONE_IN

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ml_tasks.config import Outside, Pipeline
    from ml_tasks.io.control import Trigger
    from ml_tasks.result import Window

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Weighed:
    """What is reported, and whether a training may be asked for."""

    reports: tuple[Report, ...]
    window: Window | None
    against: str | None
    """What is in the way; `None` where nothing is."""


def weigh(control: Control, pipeline: Pipeline) -> Weighed:
    """Hold what is reported against the policy and its limits."""
    retraining = pipeline.monitoring.retraining
    heeding = retraining.outside
    found = [one for one in control.unheeded(pipeline.name) if _heeded(heeding, one)]
    by_cause = by_policies(control.triggers(pipeline.name))
    asked = [end for ends in by_cause.values() for end in ends]
    window = control.all_in(pipeline)
    if any(policy.alarms for policy in heeding) and window is not None:
        found += _alarms(control, pipeline.name, asked, window)
    reports = tuple(found)
    if not reports:
        return Weighed(reports, None, "nothing is reported that counts and was not heeded before")
    if retraining.when == "all" and len(retraining.policies) > len(heeding):
        return Weighed(reports, None, "all policies must want it: monitoring decides")
    if window is None:
        return Weighed(reports, None, NONE_IN)
    back = rolled_back(control.audit(pipeline.name))
    against = limits.against(retraining, window.end, asked, back)
    return Weighed(reports, window, against)


def heed(pipeline: str, run: str) -> str:
    """Write the trigger for what is reported, once; give its id.

    A retry of the same run finds the trigger that it wrote.

    Raises:
        AirflowSkipException: Nothing is reported, a limit is in the way, or somebody was first.
    """
    environment = Environment()
    control = Control(environment.control)
    control.migrate()
    own = [t for t in control.triggers(pipeline) if (t.cause, t.who) == (OUTSIDE, run)]
    if own:
        return _unclaimed(own[-1], run)
    product = config.load(pipeline, environment.pipelines)
    weighed = weigh(control, product)
    names = ", ".join(one.name for one in weighed.reports)
    if weighed.against is not None or weighed.window is None:
        raise AirflowSkipException(": ".join(t for t in (names, weighed.against) if t))
    evidence = {
        "why": f"reported: {names}",
        "policies": [OUTSIDE],
        "reports": [one.shown for one in weighed.reports],
    }
    try:
        trigger, _new = control.ask(
            pipeline,
            OUTSIDE,
            str(weighed.window),
            who=run,
            evidence=evidence,
            within=product.monitoring.retraining,
        )
    except LimitError as fault:  # monitoring asked meanwhile
        raise AirflowSkipException(f"{names}: {fault}") from fault
    return _unclaimed(trigger, run)


def _unclaimed(trigger: Trigger, run: str) -> str:
    """Give the trigger's id where it is this run's and no training has it."""
    if trigger.who != run or trigger.state != ASKED:
        raise AirflowSkipException(
            f"trigger {trigger.id}: {trigger.who} asked for {trigger.window} because of it "
            f"({trigger.state}, {trigger.outcome})"
        )
    log.info("trigger %s: %s asks for %s", trigger.id, trigger.cause, trigger.window)
    return trigger.id


def _heeded(policies: Sequence[Outside], report: Report) -> bool:
    return any(policy.heeds(report.labels) for policy in policies)


def _alarms(
    control: Control, pipeline: str, asked: Sequence[datetime], window: Window
) -> list[Report]:
    """Give the champion's alarms that page, on days that this window is the first to take in.

    One that lies behind a hole is no reason yet: a trigger that named it would not mend it.
    """
    head = control.champion(pipeline)
    if head is None:
        return []
    return [
        Report(
            pipeline=pipeline,
            fingerprint=f"version {alarm.version} {alarm.of}"[:64],
            starts_at=alarm.day,
            source="monitoring",
            status=OPEN,
            labels={"alertname": ", ".join(str(one["name"]) for one in alarm.signals[:3])},
            annotations={} if alarm.loss is None else {"estimated_loss": f"{alarm.loss:.4f}"},
            link="",
            received=alarm.day,
        )
        for alarm in control.alarms(pipeline, version=head.version)
        if alarm.paged
        and limits.taken_in(day := date.fromisoformat(alarm.day), [window.end])
        and not limits.taken_in(day, asked)
    ]
