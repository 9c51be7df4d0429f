"""Holds the measurements against the gates and writes the verdict."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks import gates
from ml_tasks.errors import ConfigError
from ml_tasks.gates.verdict import Measured, Verdict
from ml_tasks.io import objects
from ml_tasks.io.content import bytes_hash
from ml_tasks.result import Output, Result

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_tasks.config import Gate, Pipeline
    from ml_tasks.context import Context


def judge(measured: Measured, wanted: Sequence[Gate], *, pipeline: str, run: str) -> Verdict:
    """Pass only if a gate is named and every gate passes, `no_leak` also where it is not named.

    Raises:
        ConfigError: No gate is named, an unknown one, or one whose parameters do not fit.
    """
    if not wanted:
        raise ConfigError("evaluation.gates is empty: a model without gates never passes")
    judgements = tuple(gates.judge(gate, measured) for gate in gates.held(wanted))
    return Verdict(
        pipeline=pipeline,
        run=run,
        candidate=measured.candidate,
        champion=measured.champion,
        passed=all(judgement.passed for judgement in judgements),
        judgements=judgements,
    )


def run(pipeline: Pipeline, context: Context) -> Result:
    """Write the verdict on what `evaluate` measured."""
    source = context.output("evaluate", "evaluation").uri
    if source is None:
        raise ConfigError("evaluate's output 'evaluation' is no object; run evaluate again")
    measured = Measured.model_validate_json(objects.read_bytes(source))
    verdict = judge(measured, pipeline.evaluation.gates, pipeline=context.pipeline, run=context.run)
    uri, text = f"{context.folder}/verdict.json", verdict.model_dump_json(indent=2)
    objects.write_text(uri, text)
    # Which run it was does not count: the same verdict is the same wherever it is reached.
    same = verdict.model_dump_json(exclude={"run"}).encode()
    return context.result(
        outputs={"verdict": Output(uri=uri, content_hash=bytes_hash(same))},
        values={
            "passed": verdict.passed,
            "gates": [judgement.model_dump(mode="json") for judgement in verdict.judgements],
        },
    )
