"""What may go on after all gates: a model whose verdict passed, and no other; no gate itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.errors import ConfigError, NotPassedError, RejectedError
from ml_tasks.gates.verdict import Verdict
from ml_tasks.io import objects

if TYPE_CHECKING:
    from ml_tasks.context import Context


def verdict_of(context: Context) -> tuple[Verdict, str]:
    """Read a run's verdict; give it and its address.

    Raises:
        ConfigError: `judge` left none.
    """
    uri = context.output("judge", "verdict").uri
    if uri is None:
        raise ConfigError("judge's output 'verdict' is no object; run judge again")
    return Verdict.model_validate_json(objects.read_bytes(uri)), uri


def passed_verdict(context: Context) -> Verdict:
    """Read a run's verdict, and hold it against the model that it is about.

    Raises:
        ConfigError: `judge` left none.
        NotPassedError: It did not pass; names the gates that failed.
        RejectedError: It is about another model.
    """
    verdict, _uri = verdict_of(context)
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
