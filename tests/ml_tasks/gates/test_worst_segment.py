from __future__ import annotations

import math

import numpy as np
import pytest

from ml_tasks import evaluate
from ml_tasks.config import Evaluation, Gate
from ml_tasks.gates import judge
from ml_tasks.gates.verdict import Interval, Judgement, Measured, Segment
from ml_tasks.gates.worst_segment import p_value

SEGMENTS, DAYS, A_DAY = 40, 14, 22
RIGHT = 0.7
"""Share of right answers that each segment truly reaches, on the mean of its days."""


def near(value: float, error: float = 0.01, bias: float = 0.0) -> Interval:
    low, high = value - 2 * error, value + 2 * error
    return Interval(value=value, low=low, high=high, error=error, bias=bias)


def segment(name: str, found: Interval | None, *, rows: int = 500, days: float = 21) -> Segment:
    metrics = {} if found is None else {"m": found}
    return Segment(name=name, rows=rows, days=days, metrics=metrics)


def judged(*segments: Segment, **params: object) -> Judgement:
    measured = Measured(candidate="h", champion=None, metrics={}, segments=segments)
    return judge(Gate(name="worst_segment", params={"metric": "m", **params}), measured)


GOOD = segment("good", near(0.8))
CASES: dict[str, tuple[list[Segment], dict[str, object], bool, str]] = {
    "above": ([GOOD], {"minimum": 0.7}, True, "good with 0.8000 [0.7800, 0.8200], adjusted p 1;"),
    "at the bound": ([segment("at", near(0.7))], {"minimum": 0.7}, True, "adjusted p 0.5;"),
    "below by chance": ([GOOD, segment("b", near(0.69))], {"minimum": 0.7}, True, "is b with"),
    "below": ([GOOD, segment("b", near(0.66))], {"minimum": 0.7}, False, "is b with 0.6600"),
    "alone below": ([segment("b", near(0.681))], {"minimum": 0.7}, False, "of 1 segments is b"),
    "one of forty below as much": (
        [*(segment(f"s{i}", near(0.8)) for i in range(39)), segment("b", near(0.681))],
        {"minimum": 0.7},
        True,
        "worst of 40 segments is b",
    ),
    "a smaller alpha": (
        [segment("b", near(0.681))], {"minimum": 0.7, "alpha": 0.01}, True, "is b with"
    ),
    "two below": (
        [GOOD, segment("b", near(0.6)), segment("c", near(0.61))],
        {"minimum": 0.7},
        False,
        "is b with 0.6000 [0.5800, 0.6200], adjusted p 7.1e-09; significantly beyond: 2",
    ),
    "the surest is worst": (
        [segment("far", near(0.5, error=0.2)), segment("sure", near(0.6))],
        {"minimum": 0.7},
        False,
        "is sure with 0.6000",
    ),
    "few rows, far below": (
        [GOOD, segment("few", near(0.1), rows=299)], {"minimum": 0.7}, True, "of 1 segments is good"
    ),
    "few days, less sure": (
        [segment("b", near(0.66), days=2.5)], {"minimum": 0.7}, True, "is b with"
    ),
    "lower is better, above": (
        [GOOD, segment("b", near(0.9))], {"maximum": 0.85}, False, "is b with 0.9000"
    ),
    "lower is better, below": ([segment("b", near(0.1))], {"maximum": 0.85}, True, "adjusted p 1;"),
    "raised by noise alone": (
        [segment("b", near(0.9, bias=0.05))], {"maximum": 0.85}, True, "is b with 0.9000"
    ),
    "between": ([GOOD], {"minimum": 0.7, "maximum": 0.9}, True, "is good"),
    "outside": ([GOOD], {"minimum": 0.7, "maximum": 0.75}, False, "is good"),
    "no spread, above": ([segment("b", near(0.8, error=0.0))], {"minimum": 0.8}, True, "p 1;"),
    "no spread, below": ([segment("b", near(0.7, error=0.0))], {"minimum": 0.8}, False, "p 0;"),
    "no metric": ([GOOD, segment("b", None)], {"minimum": 0}, False, "not measured on ['b']"),
    "no value": (
        [GOOD, segment("b", near(math.nan))], {"minimum": 0}, False, "not measured on ['b']"
    ),
    "no error": (
        [GOOD, segment("b", Interval(value=1, low=1, high=1))],
        {"minimum": 0},
        False,
        "not measured on ['b']",
    ),
    "one day": (
        [GOOD, segment("b", near(0.9), days=1)],
        {"minimum": 0},
        False,
        "m and its spread over 2 days or more were not measured on ['b']",
    ),
    "few rows and no value": (
        [GOOD, segment("b", near(math.nan), rows=10)], {"minimum": 0.7}, True, "is good"
    ),
    "none counts": (
        [segment("b", near(0.9), rows=10)], {"minimum": 0}, False, "none of 1 segments has 300 rows"
    ),
    "none at all": ([], {"minimum": 0}, False, "none of 0 segments has 300 rows"),
}  # fmt: skip


@pytest.mark.parametrize(("segments", "params", "passed", "evidence"), CASES.values(), ids=CASES)
def test_cases(
    segments: list[Segment], params: dict[str, object], passed: bool, evidence: str
) -> None:
    said = judged(*segments, **params)
    assert (said.passed, evidence in said.evidence) == (passed, True), said.evidence


def test_the_threshold_names_bound_and_alpha() -> None:
    assert judged(GOOD, minimum=0.7, maximum=0.9).threshold == (
        ">= 0.7 and <= 0.9, family-wise alpha 0.05"
    )


@pytest.mark.parametrize(
    ("beyond", "days", "wanted"),
    [(0, 2, 0.5), (1, 2, 0.25), (2.086, 21, 0.025), (3.552, 21, 0.001), (-2.086, 21, 0.975)],
)
def test_p_values_are_those_of_the_tables_of_t(beyond: float, days: float, wanted: float) -> None:
    """The bootstrap's error of a mean is by the root of (days - 1) / days below the unbiased."""
    found = near(0.0, error=math.sqrt((days - 1) / days))
    assert p_value(found, days, beyond) == pytest.approx(wanted, abs=1e-5)


def simulated(seed: int, right: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Measured:
    """Measure segments whose days are good and bad by chance, as `evaluate` does."""
    dice = np.random.default_rng(seed)
    parts = np.repeat(np.arange(SEGMENTS), DAYS * A_DAY)
    days = np.tile(np.repeat(np.arange(DAYS), A_DAY), SEGMENTS)
    of_day = dice.uniform(-0.15, 0.15, size=(SEGMENTS, DAYS))
    hit = dice.uniform(size=len(parts)) < right[parts] + of_day[parts, days]
    y = (dice.uniform(size=len(parts)) < 0.3).astype(float)
    return evaluate.compare(
        evaluate.Test("classification", y, days, {"part": parts}),
        {evaluate.CANDIDATE: np.where(hit, y, 1 - y)},
        candidate="h",
        champion=None,
        evaluation=Evaluation(metric="accuracy", bootstrap_samples=200, gates=(Gate(name="x"),)),
        seed=seed,
    )


FLOOR = Gate(name="worst_segment", params={"metric": "accuracy", "minimum": RIGHT})


def test_no_more_false_alarms_than_alpha_over_forty_segments() -> None:
    """All segments truly reach the minimum: point estimates always fall below it, the gate 5 %."""
    runs = [simulated(seed, np.full(SEGMENTS, RIGHT)) for seed in range(100)]
    lowest = [min(s.metrics["accuracy"].value for s in run.segments) for run in runs]
    assert max(lowest) < RIGHT
    assert sum(not judge(FLOOR, run).passed for run in runs) <= 9


def test_a_broken_segment_of_decent_size_is_caught_and_named() -> None:
    right = np.full(SEGMENTS, RIGHT)
    right[17] = 0.45
    said = [judge(FLOOR, simulated(seed, right)) for seed in range(20)]
    assert not any(one.passed for one in said)
    assert all("worst of 40 segments is part=17 with" in one.evidence for one in said)


def test_on_a_single_day_nothing_is_beyond_chance() -> None:
    """Each resample of it is the same, so that anything would be better than anything."""
    dice = np.random.default_rng(1)
    y = (dice.uniform(size=40) < 0.3).astype(float)
    measured = evaluate.compare(
        evaluate.Test("classification", y, np.zeros(40), {}),
        {name: dice.uniform(size=40) for name in (evaluate.CANDIDATE, "majority")},
        candidate="h",
        champion=None,
        evaluation=Evaluation(metric="roc_auc", bootstrap_samples=200, gates=(Gate(name="x"),)),
        seed=0,
    )
    for gate in ("roc_auc", "log_loss"):
        beats = Gate(name="beats_baseline", params={"metric": gate, "baseline": "majority"})
        judged = judge(beats, measured)
        assert not judged.passed
        assert "wanted test rows of two days at least" in judged.evidence
