"""The candidate must beat the champion by more than chance."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ml_tasks.gates.paired import above_zero
from ml_tasks.gates.verdict import Judgement

if TYPE_CHECKING:
    from ml_tasks.gates.verdict import Measured


class Params(BaseModel):
    """Which metric."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    metric: str


def judge(measured: Measured, params: Params) -> Judgement:
    """Pass if the lower bound of the paired difference lies above 0, or nobody is champion."""
    if measured.champion is None:
        return Judgement(
            gate="beats_champion",
            passed=True,
            measured=None,
            threshold="lower bound > 0",
            evidence="first champion: judged by floors and baselines",
        )
    rival = f"champion {measured.champion}"
    difference = measured.over_champion.get(params.metric)
    return above_zero("beats_champion", rival, params.metric, difference)
