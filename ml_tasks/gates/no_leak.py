"""Nothing in the training set may come from the future."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, Field

from ml_tasks.config.numbers import Real
from ml_tasks.gates.verdict import Judgement

if TYPE_CHECKING:
    from ml_tasks.gates.verdict import Leaks, Measured

SHOWN = 5

TEST_DAYS = 1
"""So few do."""


class Params(BaseModel):
    """What one column alone may tell."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ceiling: Real | None = Field(gt=0.5, lt=1, default=None)
    """AUC with which one column alone may rank the label; what is better is the label.
    Without it a column may tell whatever it tells."""
    coincidence: Real = Field(gt=0, lt=1, default=0.005)
    """Share of rows in which a column may be the row's own outcome beyond chance."""


def judge(measured: Measured, params: Params) -> Judgement:
    """Fail if a column leaks, or if the prover did not run; measured is how many columns leak."""
    ceiling = f"AUC <= {params.ceiling}, " if params.ceiling is not None else ""
    threshold = (
        f"0 columns; each alone: {ceiling}"
        f"the row's own outcome in <= {params.coincidence:.1%} beyond chance"
    )
    proof = measured.leaks
    if proof is None or not proof.cells or not proof.strength:
        evidence = "what was trained on was not proven; clear assemble and what comes after it"
        return Judgement(
            gate="no_leak", passed=False, measured=None, threshold=threshold, evidence=evidence
        )
    found = _found(proof, params)
    strongest = max(proof.strength, key=lambda name: proof.strength[name])
    evidence = (
        f"{proof.cells} cells of {proof.rows} rows are as known when asked; alone {strongest} "
        f"tells most, AUC {proof.strength[strongest]:.4f}"
    )
    if found:
        reasons = [f"{name}: {why}" for name, why in found.items()]
        more = [f"and {len(reasons) - SHOWN} more"] * (len(reasons) > SHOWN)
        evidence = "; ".join([*reasons[:SHOWN], *more])
    return Judgement(
        gate="no_leak",
        passed=not found,
        measured=float(len(found)),
        threshold=threshold,
        evidence=evidence,
    )


def _found(proof: Leaks, params: Params) -> dict[str, str]:
    """Give by column why it leaks."""
    ceiling = 1.0 if params.ceiling is None else params.ceiling
    beyond = {
        name: f"alone it ranks the label with AUC {auc:.4f}"
        for name, auc in proof.strength.items()
        if not auc <= ceiling
    }
    own = {
        name: f"{share:.1%} of its cells are the row's own outcome beyond chance"
        for name, share in proof.coincidence.items()
        if not share <= params.coincidence
    }
    return beyond | own | {leak.column: f"{leak.kind}: {leak.evidence}" for leak in proof.leaks}
