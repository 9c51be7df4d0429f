"""Lays what a launcher saw of an attempt beside its result."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from ml_tasks.errors import PerennialError
from ml_tasks.io import objects
from ml_tasks.result import MEASURED, RESULT, PodUse, Usage

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from ml_launch.outcome import Sample

log = logging.getLogger(__name__)


def write(result: str, started: datetime, pods: Mapping[str, PodUse]) -> None:
    """Write the pods of an attempt, beside those that were written before.

    What is missing costs nobody more than a line of a report: a store that refuses is a warning.

    Args:
        result: Address of the attempt's result.
        started: When the first of them began.
        pods: What they took, by their ids.
    """
    uri = result.removesuffix(RESULT) + MEASURED
    try:
        known = _read(uri) or Usage(started=started, pods={})
        made = Usage(started=min(known.started, started), pods={**known.pods, **pods})
        objects.write_text(uri, made.model_dump_json(indent=2))
    except PerennialError as fault:
        log.warning("what the task used is not recorded: %s", fault)


def _read(uri: str) -> Usage | None:
    try:
        return Usage.model_validate_json(objects.read_bytes(uri))
    except FileNotFoundError:
        return None


def tree(seconds: float, curve: Sequence[Sample]) -> PodUse:
    """Give what a tree of processes took, by the samples of it.

    Args:
        seconds: How long it was there.
        curve: Memory and CPU at moments in between.
    """
    spent, last = 0.0, 0.0
    for sample in curve:
        # Who follows a task again counts from nought.
        spent += sample.cpu_percent / 100 * max(0.0, sample.second - last)
        last = sample.second
    return PodUse(
        seconds=round(seconds, 3),
        cpu_seconds=round(spent, 3),
        peak_memory_mb=max((sample.memory_mb for sample in curve), default=0.0),
    )
