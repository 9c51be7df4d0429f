"""Goes back to the champion before, once, where the new one does not stand."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_tasks.errors import ConfigError, PromotionLostError
from ml_tasks.io.audit import MOVES
from ml_tasks.io.champions import line
from ml_tasks.monitoring import standing
from ml_tasks.training import predecessor

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.io.control import AuditEntry, Control
    from ml_tasks.result import Window

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Withdrawal:
    """What became of the champion at a window's end."""

    entry: AuditEntry | None
    """The rollback that this window brought; `None` where it brought none."""
    fault: str | None
    """Why the champion could not be held against the one before; `None` where it could."""


def made(
    control: Control, environment: Environment, pipeline: Pipeline, window: Window, who: str
) -> Withdrawal:
    """Go back if the evidence of a window says so.

    The head and the audit entry are one transaction, and the entry names the window: whoever
    comes again for it, or at the same time, finds that entry and moves nothing.

    Args:
        control: Where the head is.
        environment: Where models lie.
        pipeline: The product.
        window: Nothing that was found of later ones counts.
        who: Who goes back, for the audit log.
    """
    entry, told = _of_window(control.audit(pipeline.name), window), None
    if entry is None:
        try:
            entry = _moved(control, environment, pipeline, window, who)
        except ConfigError as fault:
            told = str(fault)
            log.error("%s: the champion was not held against the one before: %s", window, fault)
        except PromotionLostError as lost:
            log.warning("%s: %s", window, lost)
        # Somebody else may have gone back for this window meanwhile.
        entry = entry or _of_window(control.audit(pipeline.name), window)
    if entry is not None:
        log.warning("%s: back to version %s: %s", window, entry.detail["version"], entry.why)
        _tell(control, entry)
    return Withdrawal(entry, None if entry is not None else told)


def shown(entries: Sequence[AuditEntry]) -> dict[str, Any]:
    """Give what a training should know of the version whose place it takes: that it was worse."""
    move = next((e for e in reversed(entries) if e.action in MOVES), None)
    if move is None or move.window is None:
        return {}
    return {"rolled_back": f"version {move.detail['before']}: {move.why}"}


def _moved(
    control: Control, environment: Environment, pipeline: Pipeline, window: Window, who: str
) -> AuditEntry | None:
    # The head first: who is promoted between the two is in the log, and `seen` no longer the head.
    seen, entries = control.champion(pipeline.name), control.audit(pipeline.name)
    found = standing.found(control, environment, pipeline, entries, window)
    if found is None or seen is None:
        return None
    log.info("%s: %s", window, found.why)
    if not found.back:
        return None
    to = predecessor.find(environment, control, None, seen)
    evidence = {"window": str(window), **found.evidence}
    return control.rollback(to, seen=seen, who=who, why=found.why, evidence=evidence)


def _of_window(entries: Sequence[AuditEntry], window: Window) -> AuditEntry | None:
    """Give the last move if it is the rollback that a window brought."""
    move = next((e for e in reversed(entries) if e.action in MOVES), None)
    return move if move is not None and move.window == str(window) else None


def _tell(control: Control, entry: AuditEntry) -> None:
    """Let the trigger ledger say what became of the training."""
    been = {head.version: head.run for head in line(control.audit(entry.pipeline), withdrawn=True)}
    gone = str(entry.detail["before"])
    for trigger in control.triggers(entry.pipeline):
        if trigger.run is not None and trigger.run == been[gone]:
            control.finish(trigger.id, f"promoted version {gone}, rolled back: {entry.why}")
