"""Tells people: writes what happened for each channel, and sends what waits."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ml_alerts.channels import send
from ml_alerts.message import TEST
from ml_tasks.config import Environment
from ml_tasks.errors import ConfigError, PerennialError
from ml_tasks.io.control import Control

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from ml_alerts.message import Message
    from ml_tasks.config import Channel, Pipeline

log = logging.getLogger(__name__)


def tell(pipeline: Pipeline, messages: Iterable[Message]) -> tuple[int, list[str]]:
    """Tell of what happened by each channel that is to tell of it; equal alerts are sent once.

    What cannot be sent now waits in control: the intake's watcher has it sent later.

    Returns:
        How many alerts were sent, and the faults of those that were not.

    Raises:
        BackendError: Control does not answer, so that nothing is kept.
    """
    control = Control(Environment().control)
    control.migrate()
    for message in messages:
        by = [c.name for c in pipeline.alerts if message.kind == TEST or message.kind in c.on]
        control.post(pipeline.name, message.kind, message.key, by, message.content)
    return deliver(control, pipeline)


def deliver(control: Control, pipeline: Pipeline) -> tuple[int, list[str]]:
    """Send what waits; give how many were sent, and the faults of those that were not.

    Of two that do so at once each alert has one.
    """
    channels = {channel.name: channel for channel in pipeline.alerts}
    sent, faults = 0, []
    while (taken := control.take(pipeline.name)) is not None:
        try:
            send(_named(taken.channel, channels), taken)
        except PerennialError as fault:
            log.error("%s not sent, it is tried again later: %s", taken.kind, fault)
            control.put_back(taken, str(fault))
            faults.append(str(fault))
        else:
            control.sent_off(taken)
            log.info("%s sent by %s: %s", taken.kind, taken.channel, taken.content["subject"])
            sent += 1
    return sent, faults


def _named(name: str, channels: Mapping[str, Channel]) -> Channel:
    """Give a channel by its name.

    Raises:
        ConfigError: The YAML that lies here has none of it: it is gone, or not here yet.
    """
    if name not in channels:
        known = ", ".join(channels) or "none"
        raise ConfigError(
            f"{name}: came no such channel in the YAML that Airflow's worker reads, wanted it "
            f"beside {known}: it was taken out, or that worker has an old YAML"
        )
    return channels[name]
