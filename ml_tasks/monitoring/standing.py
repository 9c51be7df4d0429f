"""Whether a champion that was promoted stands against the one before it."""

from __future__ import annotations

from dataclasses import dataclass
from statistics import NormalDist
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_tasks.config.metrics import sign
from ml_tasks.io.audit import MOVES
from ml_tasks.io.champions import succession
from ml_tasks.training import champion

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_tasks.config import Environment, Pipeline, Rollback
    from ml_tasks.io.champions import Succession
    from ml_tasks.io.control import AuditEntry, Control
    from ml_tasks.io.watched import Grade, Measure
    from ml_tasks.result import Window

TAIL = 0.025
"""What lies beyond either end of a 95 % interval."""


@dataclass(frozen=True, slots=True)
class Standing:
    """Whether to go back, and why or why not."""

    back: bool
    why: str
    evidence: dict[str, Any]
    """What that stands on, for the audit log."""


def found(
    control: Control,
    environment: Environment,
    pipeline: Pipeline,
    entries: Sequence[AuditEntry],
    window: Window,
) -> Standing | None:
    """Hold the newest promotion against what is known at a window's end.

    Args:
        control: Knows grades and measures.
        environment: Where models lie.
        pipeline: Says how much worse is too much.
        entries: The pipeline's audit log.
        window: Nothing that was found of later ones counts.

    Returns:
        `None` where there is nothing to hold: no promotion had a champion before it, the champion
        came by a rollback, or the policy is switched off.

    Raises:
        ConfigError: The objects of one of the two are gone.
    """
    told, newest = pipeline.monitoring.rollback, succession(entries)
    moves = [entry.number for entry in entries if entry.action in MOVES]
    if not told.automatic or newest is None or moves[-1] != newest.number:
        return None
    metric, end = pipeline.evaluation.metric, window.end.isoformat()
    own = [
        grade
        for grade in control.grades(pipeline.name, version=newest.new.version)
        if (grade.before, grade.metric) == (newest.before.version, metric) and grade.end <= end
    ]
    if own:
        return paired(told, own[-1])
    measured = [
        m
        for m in control.measures(pipeline.name, metric=metric)
        if m.kind == "realised" and m.end <= end
    ]
    ours = [m for m in measured if m.version == newest.new.version]
    longest = max(told.windows, pipeline.monitoring.retraining.graded_windows)
    if not ours or len(ours) > longest or _lacking(environment, newest):
        return None
    theirs = [m for m in measured if m.version == newest.before.version and m.start < ours[0].start]
    return apart(told, ours, theirs)


def paired(told: Rollback, grade: Grade) -> Standing:
    """Decide from the difference on rows that both predicted.

    Args:
        told: How much worse is too much.
        grade: Of all windows that were graded so far, together. A trial is looked at after each
            of its windows: the chance to go back from a version that is as good is that of one
            interval over all looks together (Bonferroni).
    """
    about = (
        f"{grade.metric} of version {grade.version} is {_gap(grade)} than that of "
        f"{grade.before} on the same {grade.rows} rows of {grade.windows} windows"
    )
    evidence = {
        "metric": grade.metric,
        "difference": grade.value,
        "low": grade.low,
        "high": grade.high,
        "rows": grade.rows,
        "windows": grade.windows,
        "paired": True,
    }
    few = grade.windows < told.windows or grade.rows < told.rows
    if few:
        about += f"; wanted {told.windows} windows and {told.rows} rows"
    looks = max(grade.wanted - told.windows + 1, 1)
    bound = None if grade.error is None else grade.value + _wide(looks) * grade.error
    back = not few and bound is not None and bound < -told.drop
    return Standing(back, about, evidence)


def apart(told: Rollback, ours: Sequence[Measure], theirs: Sequence[Measure]) -> Standing | None:
    """Decide from each one's own windows: weaker, since windows differ from each other, too.

    Args:
        told: How much worse is too much.
        ours: What was realised of the new version, oldest first.
        theirs: Of the one before, while it was champion.
    """
    parts = ours[-told.windows :], theirs[-told.windows :]
    if any(len(p) < told.windows or sum(m.rows for m in p) < told.rows for p in parts):
        return None
    (new, error), (old, noise) = (_together(part) for part in parts)
    metric, wide = ours[0].metric, _wide(1) * float(np.hypot(error, noise))
    lost = sign(metric) * (old - new)
    about = (
        f"{metric} of version {ours[0].version} is {new:.4f} in its last {told.windows} windows, "
        f"that of {theirs[0].version} was {old:.4f}, the interval reaches {wide:.4f} to either side"
    )
    evidence = {"metric": metric, "difference": -lost, "low": -lost - wide, "high": -lost + wide}
    return Standing(
        lost > told.drop + wide,
        about,
        {**evidence, "rows": sum(m.rows for m in parts[0]), "windows": told.windows,
         "paired": False},
    )  # fmt: skip


def _wide(looks: int) -> float:
    """Give how many standard errors chance goes beyond in any of so many looks with 1 in 40."""
    return NormalDist().inv_cdf(1 - TAIL / looks)


def _together(part: Sequence[Measure]) -> tuple[float, float]:
    """Give the value over windows, by their rows, and its standard error."""
    shares = np.array([m.rows for m in part], float) / sum(m.rows for m in part)
    errors = np.array([np.inf if m.error is None else m.error for m in part])
    value = float(shares @ np.array([m.value for m in part]))
    return value, float(np.sqrt(np.sum((shares * errors) ** 2)))


def _gap(grade: Grade) -> str:
    way = "better" if grade.value >= 0 else "worse"
    told = f"{abs(grade.value):.4f} {way}"
    if grade.low is None or grade.high is None:
        return told
    return f"{told} [{grade.low:+.4f}, {grade.high:+.4f}]"


def _lacking(environment: Environment, newest: Succession) -> bool:
    """Tell whether the one before takes in what its successor does not: it may not be there now."""
    new, before = (
        set(champion.of_head(environment, head).inputs) for head in (newest.new, newest.before)
    )
    return not before <= new
