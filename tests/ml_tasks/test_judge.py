from __future__ import annotations

import math
from typing import TYPE_CHECKING

import pytest

from ml_tasks import config, judge
from ml_tasks.config import ROOT, Gate
from ml_tasks.context import Context
from ml_tasks.errors import ConfigError
from ml_tasks.gates.verdict import Interval, Leak, Leaks, Measured, Segment, Verdict
from ml_tasks.io import objects
from ml_tasks.result import Output, Result

if TYPE_CHECKING:
    from ml_tasks.config import Environment


def around(value: float, half: float = 0.01) -> Interval:
    return Interval(value=value, low=value - half, high=value + half, error=half / 2, bias=0.0)


NAN = around(math.nan)
PROOF = Leaks(
    set_hash="s",
    rows=900,
    cells=1800,
    leaks=(),
    strength={"a": 0.7, "b": 0.61},
    coincidence={"a": 0.004},
)
MEASURED = Measured(
    candidate="h",
    champion="3",
    metrics={"roc_auc": around(0.75), "ece": around(0.02), "f1": NAN},
    over_champion={"roc_auc": around(0.02), "ece": around(0.005), "f1": NAN},
    over_baseline={"majority": {"roc_auc": around(0.25)}},
    segments=(
        Segment(name="a=1", rows=500, days=20, metrics={"roc_auc": around(0.7)}),
        Segment(name="a=2", rows=500, days=20, metrics={"roc_auc": around(0.6)}),
    ),
    leaks=PROOF,
)


@pytest.mark.parametrize(
    ("name", "params", "passed", "evidence"),
    [
        ("floor", {"metric": "roc_auc", "minimum": 0.75}, True, "roc_auc is 0.7500"),
        ("floor", {"metric": "roc_auc", "minimum": 0.7501}, False, "roc_auc is 0.7500"),
        ("floor", {"metric": "ece", "maximum": 0.02}, True, "ece is 0.0200"),
        ("floor", {"metric": "ece", "maximum": 0.0199}, False, "ece is 0.0200"),
        ("floor", {"metric": "ece", "minimum": 0.01, "maximum": 0.03}, True, "ece is"),
        ("floor", {"metric": "brier", "minimum": 0}, False, "brier was not measured"),
        ("floor", {"metric": "f1", "minimum": 0}, False, "f1 was not measured"),
        ("beats_champion", {"metric": "roc_auc"}, True, "better than champion 3 by +0.0200"),
        ("beats_champion", {"metric": "ece"}, False, "+0.0050 [-0.0050, +0.0150]"),
        ("beats_champion", {"metric": "brier"}, False, "was not compared with champion 3"),
        ("beats_champion", {"metric": "f1"}, False, "was not compared with champion 3"),
        ("beats_baseline", {"metric": "roc_auc", "baseline": "majority"}, True, "majority"),
        ("beats_baseline", {"metric": "roc_auc", "baseline": "x"}, False, "not compared with x"),
        ("worst_segment", {"metric": "roc_auc", "minimum": 0.6}, True, "of 2 segments is a=2"),
        ("worst_segment", {"metric": "roc_auc", "minimum": 0.65}, False, "a=2 with 0.6000"),
        ("no_leak", {}, True, "1800 cells of 900 rows are as known when asked"),
        ("no_leak", {"ceiling": 0.7}, True, "1800 cells of 900 rows are as known when asked"),
        ("no_leak", {"ceiling": 0.69}, False, "a: alone it ranks the label with AUC 0.7000"),
        ("no_leak", {"ceiling": 0.8, "coincidence": 0.003}, False, "a: 0.4% of its cells are"),
    ],
)
def test_gates(name: str, params: dict[str, object], passed: bool, evidence: str) -> None:
    verdict = judge.judge(MEASURED, [Gate(name=name, params=params)], pipeline="p", run="r")
    assert verdict.passed is passed
    assert evidence in verdict.judgements[0].evidence


def test_the_first_champion_has_no_rival() -> None:
    first = MEASURED.model_copy(update={"champion": None, "over_champion": {}})
    gate = Gate(name="beats_champion", params={"metric": "roc_auc"})
    assert judge.judge(first, [gate], pipeline="p", run="r").passed


@pytest.mark.parametrize(
    ("proof", "measured", "evidence"),
    [
        (None, None, "what was trained on was not proven; clear assemble"),
        (PROOF.model_copy(update={"cells": 0}), None, "was not proven"),
        (PROOF.model_copy(update={"strength": {}}), None, "was not proven"),
        (PROOF.model_copy(update={"strength": {"a": math.nan}}), 1, "AUC nan"),
        (
            PROOF.model_copy(
                update={
                    "leaks": tuple(
                        Leak(column=f"c{i}", kind="future row", rows=9, evidence="9 of 900 rows")
                        for i in range(7)
                    )
                }
            ),
            7,
            "c0: future row: 9 of 900 rows; c1",
        ),
    ],
)
@pytest.mark.parametrize("named", [True, False])
def test_without_a_clean_proof_nothing_passes(
    proof: Leaks | None, measured: int | None, evidence: str, named: bool
) -> None:
    """Whether the product names the gate or not."""
    floor = Gate(name="floor", params={"metric": "roc_auc", "minimum": 0.5})
    gates = [floor, *[Gate(name="no_leak", params={"ceiling": 0.85})] * named]
    of = MEASURED.model_copy(update={"leaks": proof})
    verdict = judge.judge(of, gates, pipeline="p", run="r")
    reached, judgement = verdict.judgements
    assert (reached.passed, verdict.passed, judgement.gate) == (True, False, "no_leak")
    assert (judgement.passed, judgement.measured) == (False, measured)
    assert evidence in judgement.evidence
    assert ("and 2 more" in judgement.evidence) is (measured == 7)


def test_the_proof_is_judged_once_and_by_what_is_named() -> None:
    floor = Gate(name="floor", params={"metric": "roc_auc", "minimum": 0.5})
    own = "the row's own outcome in <= 0.5% beyond chance"
    for gates, threshold in (
        ([floor], f"0 columns; each alone: {own}"),
        ([Gate(name="no_leak", params={"ceiling": 0.9}), floor], f"AUC <= 0.9, {own}"),
    ):
        verdict = judge.judge(MEASURED, gates, pipeline="p", run="r")
        (leak,) = (one for one in verdict.judgements if one.gate == "no_leak")
        assert verdict.passed
        assert len(verdict.judgements) == 2
        assert leak.threshold.endswith(threshold)
        assert "1800 cells of 900 rows" in leak.evidence


def test_one_gate_that_fails_is_enough() -> None:
    wanted = [
        Gate(name="floor", params={"metric": "roc_auc", "minimum": low}) for low in (0.5, 0.9)
    ]
    assert not judge.judge(MEASURED, wanted, pipeline="p", run="r").passed


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ([], "a model without gates never passes"),
        ([Gate(name="hope")], "evaluation.gates: came name 'hope', wanted one of"),
        ([Gate(name="floor", params={"metric": "x"})], "without a threshold nothing passes"),
        ([Gate(name="worst_segment", params={"metric": "x"})], "without a threshold nothing"),
        (
            [Gate(name="floor", params={"metric": "roc_auc", "minimum": 6})],
            "roc_auc >= 6.0: no value of it passes",
        ),
        ([Gate(name="floor", params={"metric": "ece", "maximum": -1})], "ece <= -1.0: no value"),
        ([Gate(name="floor", params={"metric": "rmse", "maximum": -1})], "rmse <= -1.0: no value"),
        (
            [Gate(name="floor", params={"metric": "r2", "minimum": 0.9, "maximum": 0.1})],
            "r2 >= 0.9 and <= 0.1: no value of it passes",
        ),
        ([Gate(name="floor", params={"metric": "x", "minimum": math.nan})], "a finite number"),
        ([Gate(name="no_leak", params={"ceiling": 1})], "no_leak.*ceiling"),
        ([Gate(name="beats_champion", params={"metrik": "x"})], "metrik: came an unknown key"),
    ],
)
def test_what_is_no_gate(wanted: list[Gate], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        judge.judge(MEASURED, wanted, pipeline="p", run="r")


def test_the_verdict_is_written(environment: Environment) -> None:
    uri = f"{environment.objects_root}/evaluation.json"
    objects.write_text(uri, MEASURED.model_dump_json())
    outputs = {"evaluation": Output(uri=uri, content_hash="0")}
    context = Context(
        task="judge",
        pipeline="flight_delays",
        run="r",
        attempt=1,
        environment=environment,
        inputs={"evaluate": Result(task="evaluate", pipeline="p", run="r", outputs=outputs)},
    )
    result = judge.run(config.load("flight_delays", ROOT / "ml_tasks" / "pipelines"), context)
    assert result.values["passed"] is False
    written = result.outputs["verdict"].uri
    assert written is not None
    verdict = Verdict.model_validate_json(objects.read_bytes(written))
    assert [j.passed for j in verdict.judgements] == [True, True, True, False, True, True]
    assert (verdict.candidate, verdict.champion) == ("h", "3")
