"""Decides, from what monitoring found, whether to go back and whether to train, each once."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ml_tasks import policies
from ml_tasks.config import Outside, limits
from ml_tasks.errors import NothingToDo
from ml_tasks.io.control import Control
from ml_tasks.monitoring import known, withdrawal
from ml_tasks.result import Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ml_tasks.config import Pipeline, Retraining
    from ml_tasks.context import Context
    from ml_tasks.policies.evidence import Evidence, Wish
    from ml_tasks.result import Result

log = logging.getLogger(__name__)
CAUSE = "monitor"
"""Of all triggers that are decided here: one window is one trigger, whichever policy wants it."""
OUTSIDE = "outside"
"""Of those that the intake asks for because another system reported something."""


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether to train, and why or why not."""

    train: bool
    why: str
    wishes: tuple[Wish, ...]


def decide(
    evidence: Evidence,
    retraining: Retraining,
    asked: Sequence[datetime],
    others: Sequence[datetime] = (),
    rolled_back: datetime | None = None,
) -> Decision:
    """Ask each policy, and hold what they want against cool-down, budget and gain.

    A gain that no policy knows is no reason against: somebody asked, or nothing was trained before.

    Args:
        evidence: What is known at the window's end.
        retraining: Policies and their limits.
        asked: Window ends at which monitoring asked before.
        others: Window ends for which the intake asked, because of what another system reported.
        rolled_back: End of the window after which monitoring last went back to a champion before.
    """
    found = [policies.wish(policy, evidence) for policy in retraining.policies]
    wishes = tuple(one for one in found if one is not None)
    if not wishes or (retraining.when == "all" and len(wishes) < len(found)):
        silent = [p.name for p, one in zip(retraining.policies, found, strict=True) if one is None]
        return Decision(False, f"not wanted by {', '.join(silent) or 'any policy'}", wishes)
    now = evidence.window.end
    # Of its own in this very window it asked before it was tried again.
    before = [at for at in asked if at < now] + [at for at in others if at <= now]
    gains = [one.gain for one in wishes if one.gain is not None]
    against = limits.against(retraining, now, before, rolled_back)
    if against is None and gains and max(gains) < retraining.least_gain:
        against = f"expected gain {max(gains):.4f}, wanted {retraining.least_gain:.4f} at least"
    if against is not None:
        return Decision(False, against, wishes)
    return Decision(True, "; ".join(f"{w.policy}: {w.why}" for w in wishes), wishes)


def run(pipeline: Pipeline, context: Context) -> Result:
    """Go back to the champion before if that is decided; write the trigger if one is.

    The same window again finds the same rollback and the same trigger.

    Raises:
        NothingToDo: There is no champion that was watched.
    """
    control = Control(context.environment.control)
    control.migrate()
    window = context.required_window()
    back = withdrawal.made(control, context.environment, pipeline, window, context.holder)
    head = control.champion(pipeline.name)
    if head is None:
        raise NothingToDo(f"{pipeline.name} has no champion yet; train one")
    evidence = known.evidence(control, context.environment, pipeline, head, window)
    evidence = replace(evidence, reports=tuple(control.unheeded(pipeline.name)))
    asked, others = (
        [Window.parse(t.window).end for t in control.triggers(pipeline.name) if t.cause == cause]
        for cause in (CAUSE, OUTSIDE)
    )
    entries = control.audit(pipeline.name)
    rolled_back = withdrawal.last(entries)
    made = decide(evidence, pipeline.monitoring.retraining, asked, others, rolled_back)
    values: dict[str, Any] = {
        "train": made.train,
        "why": made.why,
        "wishes": [asdict(wish) for wish in made.wishes],
        "trigger": None,
        "rollback": back and {"audit": back.number, **back.detail},
    }
    if made.train:
        wanted = Window.parse(f"{pipeline.schedule.start}/{window.end.isoformat()}")
        trigger, _new = control.ask(
            pipeline.name,
            CAUSE,
            str(wanted),
            who=context.run,
            evidence=_shown(evidence, made)
            | _reported(pipeline, evidence)
            | withdrawal.shown(entries),
        )
        values["trigger"] = trigger.id
    log.info("%s: %s: %s", evidence.window, "train" if made.train else "do not train", made.why)
    return context.result(values=values)


def _reported(pipeline: Pipeline, evidence: Evidence) -> dict[str, Any]:
    """Give the reports for which this training is the answer, where a policy heeds any."""
    heeding = [
        Outside.model_validate(policy.params)
        for policy in pipeline.monitoring.retraining.policies
        if policy.name == OUTSIDE
    ]
    heard = [r.shown for r in evidence.reports if any(one.heeds(r.labels) for one in heeding)]
    return {"reports": heard} if heard else {}


def _shown(evidence: Evidence, made: Decision) -> dict[str, Any]:
    """Give what the ledger keeps of it."""
    gains = [one.gain for one in made.wishes if one.gain is not None]
    return {
        "why": made.why,
        "policies": [one.policy for one in made.wishes],
        "window": str(evidence.window),
        "metric": evidence.metric,
        "reference": evidence.reference.value,
        "realised": [[str(m.window), m.value] for m in evidence.realised[-4:]],
        "estimated": [[str(m.window), m.value] for m in evidence.estimated[-4:]],
        "pages": [[page.at.isoformat(), page.signals, page.loss] for page in evidence.pages[-4:]],
        "predicted_gain": max(gains) if gains else None,
    }
