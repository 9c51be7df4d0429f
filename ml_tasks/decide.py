"""Decides, from what monitoring found, whether to go back and whether to train, each once."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from ml_tasks import policies
from ml_tasks.config import limits
from ml_tasks.config.outside import OUTSIDE
from ml_tasks.errors import ConfigError, LimitError, NothingToDo
from ml_tasks.io import audit
from ml_tasks.io.control import Control
from ml_tasks.io.triggers import by_policies
from ml_tasks.monitoring import known, withdrawal
from ml_tasks.result import Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from ml_tasks.config import Pipeline, Retraining
    from ml_tasks.context import Context
    from ml_tasks.io.control import Head, Lease, Report
    from ml_tasks.policies.evidence import Evidence, Wish
    from ml_tasks.result import Result

log = logging.getLogger(__name__)
CAUSE = limits.MONITOR
"""Of all triggers that are decided here: one window is one trigger, whichever policy wants it."""


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
    Where one wish is enough it is so beside others, too, that expect little.

    Args:
        evidence: What is known at the window's end.
        retraining: Policies and their limits.
        asked: Window ends at which monitoring asked before.
        others: Window ends for which the intake asked, because of what another system reported.
        rolled_back: Up to when windows were in at the last rollback, a monitor's or a person's.
    """
    now = evidence.window.end
    # Of its own in this very window it asked before it was tried again.
    taken = (*(at for at in asked if at != now), *others)
    evidence = replace(evidence, asked=taken)
    found = [policies.wish(policy, evidence) for policy in retraining.policies]
    wishes = tuple(one for one in found if one is not None)
    if not wishes or (retraining.when == "all" and len(wishes) < len(found)):
        silent = [p.name for p, one in zip(retraining.policies, found, strict=True) if one is None]
        return Decision(False, f"not wanted by {', '.join(silent) or 'any policy'}", wishes)
    against = limits.against(retraining, now, taken, rolled_back) or _little(wishes, retraining)
    if against is not None:
        return Decision(False, against, wishes)
    return Decision(True, "; ".join(f"{w.policy}: {w.why}" for w in wishes), wishes)


def _little(wishes: Sequence[Wish], retraining: Retraining) -> str | None:
    """Say that too little is to be won; `None` where that is not known."""
    gains = [one.gain for one in wishes if one.gain is not None]
    alone = retraining.when == "any" and len(gains) < len(wishes)
    if alone or not gains or max(gains) >= retraining.least_gain:
        return None
    return f"expected gain {max(gains):.4f}, wanted {retraining.least_gain:.4f} at least"


def run(pipeline: Pipeline, context: Context) -> Result:
    """Go back to the champion before if that is decided; write the trigger if one is.

    The same window again finds the same rollback and the same trigger.

    Raises:
        NothingToDo: There is no champion that was watched.
        ConfigError: The schedule begins after the window.
        LeaseLostError: A later attempt has decided, or another run did meanwhile.
    """
    control = Control(context.environment.control)
    control.migrate()
    window = context.required_window()
    gone = withdrawal.made(control, context.environment, pipeline, window, context.who)
    head = control.champion(pipeline.name)
    if head is None:
        raise NothingToDo(f"{pipeline.name} has no champion yet; train one")
    start = pipeline.schedule.start
    if window.end.date() <= start:
        raise ConfigError(
            f"{pipeline.name}: schedule.start is {start}, and {window} lies before it; set it back"
        )
    wanted = Window.parse(f"{start}/{window.end.isoformat()}")
    with control.lease_for(context, f"decided {pipeline.name}", wait=120) as lease:
        values = _again(control, pipeline, wanted) or _anew(
            control, pipeline, context, head, wanted, lease
        )
    back = gone.entry and {"audit": gone.entry.number, **gone.entry.detail}
    log.info("%s: %s: %s", window, "train" if values["train"] else "do not train", values["why"])
    return context.result(values={**values, "rollback": back, "rollback_fault": gone.fault})


def _again(control: Control, pipeline: Pipeline, wanted: Window) -> dict[str, Any] | None:
    """Give what was decided where this window asked already: what it heeded is heeded by now."""
    own = next(
        (
            trigger
            for trigger in control.triggers(pipeline.name)
            if (trigger.cause, trigger.window) == (CAUSE, str(wanted)) and trigger.replays is None
        ),
        None,
    )
    if own is None:
        return None
    wishes = own.evidence.get("wishes", [])
    return {"train": True, "why": own.evidence["why"], "wishes": wishes, "trigger": own.id}


def _anew(
    control: Control,
    pipeline: Pipeline,
    context: Context,
    head: Head,
    wanted: Window,
    lease: Lease,
) -> dict[str, Any]:
    """Decide, and write the trigger if one is wanted."""
    window = context.required_window()
    evidence = known.evidence(control, context.environment, pipeline, head, window)
    evidence = replace(evidence, reports=_reports(control, pipeline, window))
    asked = by_policies(control.triggers(pipeline.name))
    entries, retraining = control.audit(pipeline.name), pipeline.monitoring.retraining
    made = decide(evidence, retraining, asked[CAUSE], asked[OUTSIDE], audit.rolled_back(entries))
    values: dict[str, Any] = {
        "train": made.train,
        "why": made.why,
        "wishes": [asdict(wish) for wish in made.wishes],
        "trigger": None,
    }
    if made.train:
        told = _shown(evidence, made) | _reported(pipeline, evidence) | withdrawal.shown(entries)
        try:
            trigger, _new = control.ask(
                pipeline.name,
                CAUSE,
                str(wanted),
                who=context.run,
                evidence=told,
                within=retraining,
                lease=lease,
            )
        except LimitError as fault:  # the intake asked meanwhile
            return {**values, "train": False, "why": str(fault)}
        values["trigger"] = trigger.id
    return values


def _reports(control: Control, pipeline: Pipeline, window: Window) -> tuple[Report, ...]:
    """Give open reports that no trigger names; none where later windows are in.

    What is reported today is no reason to train up to a window of long ago.
    """
    newest = control.newest_windows(1).get(pipeline.name, [])
    if any(Window.parse(f"{one.start}/{one.end}").end > window.end for one in newest):
        return ()
    return tuple(control.unheeded(pipeline.name))


def _reported(pipeline: Pipeline, evidence: Evidence) -> dict[str, Any]:
    """Give the reports for which this training is the answer, where a policy heeds any."""
    heeding = pipeline.monitoring.retraining.outside
    heard = [r.shown for r in evidence.reports if any(one.heeds(r.labels) for one in heeding)]
    return {"reports": heard} if heard else {}


def _shown(evidence: Evidence, made: Decision) -> dict[str, Any]:
    """Give what the ledger keeps of it."""
    gains = [one.gain for one in made.wishes if one.gain is not None]
    return {
        "why": made.why,
        "policies": [one.policy for one in made.wishes],
        "wishes": [asdict(one) for one in made.wishes],
        "window": str(evidence.window),
        "metric": evidence.metric,
        "reference": evidence.reference.value,
        "realised": [[str(m.window), m.value] for m in evidence.realised[-4:]],
        "estimated": [[str(m.window), m.value] for m in evidence.estimated[-4:]],
        "pages": [[page.at.isoformat(), page.signals, page.loss] for page in evidence.pages[-4:]],
        "predicted_gain": max(gains) if gains else None,
    }
