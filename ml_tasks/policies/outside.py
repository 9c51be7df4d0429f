"""Train when another system or a person asks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from ml_tasks.policies.evidence import Wish

if TYPE_CHECKING:
    from ml_tasks.policies.evidence import Evidence


class Params(BaseModel):
    """Nothing is to be said."""

    model_config = ConfigDict(frozen=True, extra="forbid")


def wish(evidence: Evidence, _params: Params) -> Wish | None:
    """Want a training where somebody has asked since the champion is watched."""
    return Wish("outside", evidence.outside[-1], None) if evidence.outside else None
