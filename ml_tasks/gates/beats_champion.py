"""The candidate must beat the champion by more than chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ml_tasks.gates.paired import above_zero
from ml_tasks.gates.verdict import Judgement

if TYPE_CHECKING:
    from ml_tasks.gates.verdict import Measured

TEST_DAYS = 2
"""Of one day it cannot be told how far a difference is chance."""


class Params(BaseModel):
    """Which metric, and whom it need not be compared with."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    metric: str
    uncompared: str | None = None
    """Version of a champion that may be followed without a comparison if it cannot be measured:
    what it takes in is there no more. Each later champion is compared with again."""


def judge(measured: Measured, params: Params) -> Judgement:
    """Pass if the lower bound of the paired difference lies above 0, or nobody is champion.

    A champion that could not be measured lets nobody pass, unless its version is named.
    """
    if measured.champion is None:
        return _judgement("first champion: judged by floors and baselines", passed=True)
    rival = f"champion {measured.champion}"
    if (why := measured.champion_unmeasured) is not None:
        if passed := measured.champion == params.uncompared:
            why = f"evaluation.gates lets it go uncompared: {why}"
        return _judgement(f"{rival} could not be measured: {why}", passed=passed)
    difference = measured.over_champion.get(params.metric)
    return above_zero("beats_champion", rival, params.metric, difference)


def _judgement(evidence: str, *, passed: bool) -> Judgement:
    return Judgement(
        gate="beats_champion",
        passed=passed,
        measured=None,
        threshold="lower bound > 0",
        evidence=evidence,
    )
