"""What may go on after the gates: a model whose verdict passed, and no other."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.errors import ConfigError, NotPassedError, RejectedError
from ml_tasks.gates.verdict import Verdict
from ml_tasks.io import objects

if TYPE_CHECKING:
    from ml_tasks.context import Context


def passed_verdict(context: Context) -> Verdict:
    """Read a run's verdict, and hold it against the model that it is about.

    Raises:
        NotPassedError: It did not pass; names the gates that failed.
        RejectedError: It is about another model.
    """
    uri = context.output("judge", "verdict").uri
    if uri is None:
        raise ConfigError("judge's output 'verdict' is no object; run judge again")
    verdict = Verdict.model_validate_json(objects.read_bytes(uri))
    model = context.output("train", "model").content_hash
    if verdict.candidate != model:
        raise RejectedError(
            f"the verdict is about model {verdict.candidate[:12]}, came {model[:12]}; judge again"
        )
    failed = [
        f"{j.gate}: {j.evidence}, wanted {j.threshold}" for j in verdict.judgements if not j.passed
    ]
    if failed or not verdict.passed or not verdict.judgements:
        raise NotPassedError(f"not promoted: {len(failed)} gates did not pass: {'; '.join(failed)}")
    return verdict
