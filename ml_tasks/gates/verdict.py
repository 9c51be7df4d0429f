"""What was measured, and what the gates say to it."""

from __future__ import annotations

import math

from pydantic import BaseModel, ConfigDict


class _Frozen(BaseModel):
    # What could not be measured is NaN, which plain JSON lacks.
    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class Interval(_Frozen):
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float
    error: float = math.nan
    """Standard error: how far the value spreads over the resamples."""
    bias: float = math.nan
    """By how much the resamples' mean lies above the value."""


class Segment(_Frozen):
    """The candidate on one part of the test rows."""

    name: str
    """Segment and its value, such as `carrier=UA`."""
    rows: int
    days: float
    """Effective number of days: as many equal days would spread as much."""
    metrics: dict[str, Interval]


class Leak(_Frozen):
    """One column that holds what was not known when the question was asked."""

    column: str
    kind: str
    """What it holds instead, such as `future row` or `own departure_delay`."""
    rows: int
    evidence: str


class Leaks(_Frozen):
    """What the leak prover found in a training set."""

    set_hash: str
    """Content hash of the set."""
    rows: int
    cells: int
    """How many were held against what was known."""
    leaks: tuple[Leak, ...]
    strength: dict[str, float]
    """By column: AUC of the best ranking of the label that it alone gives."""
    coincidence: dict[str, float]
    """By column: share of rows in which it is the row's own outcome, beyond chance."""


class Measured(_Frozen):
    """Candidate, champion and baselines on the same test rows."""

    candidate: str
    """Hash of the candidate's weights."""
    champion: str | None
    """Version of the champion that it was compared with; `None` where there is none."""
    metrics: dict[str, Interval]
    champion_unmeasured: str | None = None
    """Why the champion was not measured, where there is one and it was not."""
    over_champion: dict[str, Interval] = {}
    """By metric: how much better than the champion, paired; positive is better."""
    over_baseline: dict[str, dict[str, Interval]] = {}
    """By baseline and metric: how much better, paired; positive is better."""
    segments: tuple[Segment, ...] = ()
    leaks: Leaks | None = None
    """What the leak prover found in the set; `None` where it did not run."""


class Judgement(_Frozen):
    """What one gate says."""

    gate: str
    passed: bool
    measured: float | None
    threshold: str
    interval: tuple[float, float] | None = None
    evidence: str


class Verdict(_Frozen):
    """All gates' judgements on one candidate; it passes only if each of them does."""

    pipeline: str
    run: str
    candidate: str
    champion: str | None
    passed: bool
    judgements: tuple[Judgement, ...]
