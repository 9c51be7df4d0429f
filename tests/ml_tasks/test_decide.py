"""When wishes become a decision to train."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ml_tasks.config import Policy, Retraining
from ml_tasks.decide import decide
from tests.ml_tasks.policies.test_policies import EVIDENCE, WEEK, page, weeks

DRIFT, OLD = Policy(name="drift"), Policy(name="schedule", params={"days": 14})
MOVED = replace(EVIDENCE, pages=(page(2, 0.02),))


def at(day: str) -> datetime:
    return datetime.fromisoformat(day).replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("told", "asked", "train", "why"),
    [
        pytest.param({}, (), False, "not wanted by any policy", id="no policy"),
        pytest.param({"policies": (DRIFT,)}, (), True, "drift: ks dep moved", id="one wants it"),
        pytest.param(
            {"policies": (DRIFT, Policy(name="performance")), "when": "all"},
            (),
            False,
            "not wanted by performance",
            id="not all want it",
        ),
        pytest.param(
            {"policies": (DRIFT, OLD), "when": "all"}, (), True, "schedule: the", id="all want it"
        ),
        pytest.param(
            {"policies": (DRIFT,), "cool_down_days": 8},
            (at("2013-06-11"),),
            False,
            "cool-down of 8 days since 2013-06-11",
            id="too soon",
        ),
        pytest.param(
            {"policies": (DRIFT,), "cool_down_days": 7}, (at("2013-06-11"),), True, "", id="cooled"
        ),
        pytest.param(
            {"policies": (DRIFT,), "most_a_month": 2},
            (at("2013-05-28"), at("2013-06-04")),
            False,
            "2 trainings were asked for",
            id="budget",
        ),
        pytest.param(
            {"policies": (DRIFT,), "most_a_month": 2},
            (at("2013-05-01"), at("2013-06-04")),
            True,
            "",
            id="budget of another month",
        ),
        pytest.param(
            {"policies": (DRIFT,), "least_gain": 0.03},
            (),
            False,
            "expected gain 0.0200, wanted 0.0300 at least",
            id="does not pay",
        ),
        pytest.param(
            {"policies": (OLD,), "least_gain": 0.03}, (), True, "", id="a gain that nobody knows"
        ),
        pytest.param(
            {"policies": (DRIFT, OLD), "least_gain": 0.03},
            (),
            True,
            "schedule: the champion",
            id="one whose gain nobody knows is enough",
        ),
        pytest.param(
            {"policies": (DRIFT, OLD), "least_gain": 0.03, "when": "all"},
            (),
            False,
            "expected gain 0.0200, wanted 0.0300 at least",
            id="of all that must want it one says that it does not pay",
        ),
        pytest.param(
            {"policies": (DRIFT, OLD), "least_gain": 0.02, "when": "all"},
            (),
            True,
            "",
            id="all want it and it pays",
        ),
        pytest.param(
            {"policies": (DRIFT,)}, (WEEK.end,), True, "", id="asked in this very window: a retry"
        ),
        pytest.param(
            {"policies": (DRIFT,)},
            (WEEK.end + timedelta(weeks=1),),
            False,
            "was asked for already",
            id="a later window has asked",
        ),
    ],
)
def test_decisions(
    told: dict[str, object], asked: tuple[datetime, ...], train: bool, why: str
) -> None:
    found = decide(MOVED, Retraining.model_validate(told), asked)
    assert (found.train, why in found.why) == (train, True), found.why


def test_all_that_want_it_are_named() -> None:
    both = replace(MOVED, realised=weeks(0.7, 0.7))
    wanted = Retraining(policies=(Policy(name="performance"), DRIFT))
    made = decide(both, wanted, ())
    assert [wish.policy for wish in made.wishes] == ["performance", "drift"]
    assert made.why.startswith("performance: realised roc_auc 0.7000")
    assert "; drift: ks dep moved" in made.why


def test_of_gains_that_are_known_the_largest_counts() -> None:
    both = replace(MOVED, realised=weeks(0.7, 0.7))
    policies = (Policy(name="performance"), DRIFT)
    assert decide(both, Retraining(policies=policies, least_gain=0.04), ()).train
    against = decide(both, Retraining(policies=policies, least_gain=0.06), ()).why
    assert against == "expected gain 0.0500, wanted 0.0600 at least"


@pytest.mark.parametrize(
    ("rolled_back", "train"),
    [("2013-06-18", False), ("2013-06-11", False), ("2013-06-10", True), ("2013-06-25", True)],
)
def test_after_a_rollback_a_training_waits_for_other_rows(rolled_back: str, train: bool) -> None:
    wanted = Retraining(policies=(DRIFT,), cool_down_days=8)
    found = decide(MOVED, wanted, (), rolled_back=at(rolled_back))
    assert found.train is train
    assert train or f"8 days since the rollback of {rolled_back}" in found.why
