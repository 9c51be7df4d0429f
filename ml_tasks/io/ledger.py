"""What each retraining was expected to win, what it won, and what it cost."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from ml_tasks.io.audit import PROMOTE, ROLLBACK
from ml_tasks.io.champions import Champions
from ml_tasks.io.costs import Costs
from ml_tasks.io.triggers import DONE, Triggers
from ml_tasks.io.watched import Watched

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_tasks.io.audit import AuditEntry
    from ml_tasks.io.costs import Cost
    from ml_tasks.io.triggers import Trigger
    from ml_tasks.io.watched import Grade


class Paid(StrEnum):
    """What can be said of a retraining."""

    YES = "paid"
    """It won more than chance gives."""
    NO = "did not pay"
    """All its windows are through, or it is worse, and it won no more than chance gives."""
    UNKNOWN = "not known yet"
    REFUSED = "refused by gate"
    FAILED = "failed"
    FIRST = "first champion"
    """There was none before it to be compared with."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LedgerLine:
    """One line of the ledger."""

    trigger: str
    pipeline: str
    cause: str
    window: str
    """What it learned from."""
    who: str
    at: str
    """When it was asked for, ISO 8601 in UTC; so are all times."""
    state: str
    outcome: str | None
    run: str | None
    predicted_gain: float | None
    """Of the metric, by the policy that asked; `None` where it could not know."""
    version: str | None
    """That it made champion."""
    before: str | None
    """The champion that it took the place of."""
    promoted: str | None
    withdrawn: str | None
    """When the champion before took its place again."""
    metric: str | None
    realised_gain: float | None
    """Of the metric, on the same rows as the champion before; more is better."""
    low: float | None
    """Bounds of its 95 % interval."""
    high: float | None
    rows: int
    windows: int
    """Graded so far, of `wanted` in all."""
    wanted: int
    cpu_seconds: float
    gpu_seconds: float
    amount: float
    currency: str | None
    paid: Paid

    @property
    def told(self) -> str:
        """Give in words whether it paid, and whether its version was rolled back."""
        return f"{self.paid}, rolled back" if self.withdrawn else str(self.paid)


class Ledger(Triggers, Champions, Costs, Watched):
    """Triggers, promotions, grades and costs, as one line a training."""

    def ledger(self, pipeline: str) -> list[LedgerLine]:
        """Give the retrainings of a pipeline, oldest first: also those that gates refused."""
        asked, entries = self.triggers(pipeline), self.audit(pipeline)
        grades: dict[tuple[str, str], Grade] = {}
        for grade in self.grades(pipeline):
            grades[grade.version, grade.before] = grade  # the newest, of most windows, comes last
        costs: dict[str, list[Cost]] = defaultdict(list)
        for cost in self.costs(pipeline=pipeline):
            costs[cost.run].append(cost)
        return [_line(one, entries, grades, costs.get(one.run or "", [])) for one in asked]


def _line(
    trigger: Trigger,
    entries: Sequence[AuditEntry],
    grades: dict[tuple[str, str], Grade],
    costs: Sequence[Cost],
) -> LedgerLine:
    promotions = [e for e in entries if e.action == PROMOTE]
    own = next((e for e in promotions if trigger.run and e.detail["run"] == trigger.run), None)
    version, before = (own.detail["version"], own.detail["before"]) if own else (None, None)
    grade = grades.get((version, before)) if version and before else None
    closed = own is not None and promotions[-1].number > own.number
    return LedgerLine(
        trigger=trigger.id,
        pipeline=trigger.pipeline,
        cause=trigger.cause,
        window=trigger.window,
        who=trigger.who,
        at=trigger.created,
        state=trigger.state,
        outcome=trigger.outcome,
        run=trigger.run,
        predicted_gain=trigger.evidence.get("predicted_gain"),
        version=version,
        before=before,
        promoted=own.at if own else None,
        withdrawn=_withdrawn(own, entries) if own else None,
        metric=grade.metric if grade else trigger.evidence.get("metric"),
        realised_gain=grade.value if grade else None,
        low=grade.low if grade else None,
        high=grade.high if grade else None,
        rows=grade.rows if grade else 0,
        windows=grade.windows if grade else 0,
        wanted=grade.wanted if grade else 0,
        cpu_seconds=sum(c.cpu_seconds for c in costs),
        gpu_seconds=sum(c.gpu_seconds for c in costs),
        amount=sum(c.amount for c in costs),
        currency=costs[-1].currency if costs else None,
        paid=_paid(grade, closed=closed) if before else _alone(trigger, own, costs),
    )


def _withdrawn(own: AuditEntry, entries: Sequence[AuditEntry]) -> str | None:
    """Give when a rollback put another version in the place of a promoted one."""
    later = (e for e in entries if e.action == ROLLBACK and e.number > own.number)
    return next((e.at for e in later if e.detail["before"] == own.detail["version"]), None)


def _alone(trigger: Trigger, own: AuditEntry | None, costs: Sequence[Cost]) -> Paid:
    """Say what there is to say without a champion before it."""
    if own is not None:
        return Paid.FIRST
    if trigger.state != DONE:
        return Paid.UNKNOWN
    last = {cost.task: cost.state for cost in sorted(costs, key=lambda c: c.attempt)}
    # Whoever was refused before the reference came after the verdict was stopped at register.
    stopped = "skipped" in (last.get("reference"), last.get("register"))
    refused = last.get("judge") == "done" and stopped
    return Paid.REFUSED if refused else Paid.FAILED


def _paid(grade: Grade | None, *, closed: bool) -> Paid:
    """Say whether a promotion won more than chance gives.

    Args:
        grade: Of all its windows so far.
        closed: Another promotion came: nothing more will be known.
    """
    if grade is None or grade.low is None or grade.high is None:
        return Paid.UNKNOWN
    if grade.low > 0:
        return Paid.YES
    through = closed or grade.windows >= grade.wanted
    return Paid.NO if through or grade.high < 0 else Paid.UNKNOWN
