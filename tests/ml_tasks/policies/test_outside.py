"""What other systems' alerts want, beside the other policies."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from ml_tasks import policies
from ml_tasks.config import Policy, Retraining
from ml_tasks.decide import decide
from ml_tasks.policies.evidence import Wish
from tests.ml_tasks.io.test_reports import REPORT
from tests.ml_tasks.policies.test_policies import EVIDENCE, WEEK, page

OPEN = replace(EVIDENCE, reports=(REPORT, replace(REPORT, labels={"alertname": "Other"})))


def wish(params: dict[str, Any], **more: Any) -> Wish | None:
    return policies.wish(Policy(name="outside", params=params), replace(OPEN, **more))


@pytest.mark.parametrize(
    ("params", "why"),
    [
        ({}, "FeedChanged, Other"),
        ({"alerts": ["FeedChanged"]}, "FeedChanged"),
        ({"labels": {"pipeline": "p"}}, "FeedChanged"),
        ({"alerts": ["Nothing"]}, None),
        ({"alerts": ["Nothing"], "alarms": True}, f"alarm of {WEEK.end - timedelta(days=2):%F}"),
    ],
)
def test_what_counts_is_wanted_for_an_unknown_gain(params: dict[str, Any], why: str | None) -> None:
    found = wish(params, pages=(page(2, 0.01),))
    assert found == (None if why is None else Wish("outside", why, None))


@pytest.mark.parametrize(
    ("days", "train"),
    [
        pytest.param((), True, id="nobody asked"),
        pytest.param((-9,), True, id="asked before it"),
        pytest.param((-1,), False, id="asked since"),
        pytest.param((7,), False, id="a later window asked"),
        pytest.param((0,), True, id="asked in this very window"),
    ],
)
def test_an_alarm_that_a_training_takes_in_is_no_reason_any_more(
    days: tuple[int, ...], train: bool
) -> None:
    alarms = Policy(name="outside", params={"alerts": ["Nothing"], "alarms": True})
    asked = [WEEK.end + timedelta(days=one) for one in days]
    retraining = Retraining(policies=(alarms,), cool_down_days=0)
    made = decide(replace(EVIDENCE, pages=(page(2, 0.01),)), retraining, asked)
    assert (made.train, made.why.startswith("not wanted")) == (train, not train), made.why


def test_without_open_alerts_nothing_is_wanted() -> None:
    assert wish({}, reports=()) is None


@pytest.mark.parametrize(
    ("others", "told", "against"),
    [
        ((), {}, ""),
        ((WEEK.end,), {"cool_down_days": 0}, "a training up to 2013-06-18 was asked for already"),
        ((WEEK.end - timedelta(days=3),), {}, "cool-down of 7 days since 2013-06-15"),
        ((WEEK.end - timedelta(days=9),), {"most_a_month": 1}, "1 trainings were asked for"),
        ((WEEK.end + timedelta(days=7),), {}, "a training up to 2013-06-25 was asked for already"),
    ],
)
def test_what_the_intake_asked_for_counts_in_the_limits(
    others: tuple[Any, ...], told: dict[str, Any], against: str
) -> None:
    retraining = Retraining(policies=(Policy(name="outside"),), **told)
    made = decide(OPEN, retraining, (), others)
    assert (made.train, made.why.startswith(against or "outside: FeedChanged")) == (
        not against, True,
    ), made.why  # fmt: skip


def test_beside_another_that_must_want_it_an_alert_is_not_enough() -> None:
    both = Retraining(policies=(Policy(name="outside"), Policy(name="drift")), when="all")
    assert decide(OPEN, both, ()).why == "not wanted by drift"
    assert decide(replace(OPEN, pages=(page(2, 0.02),)), both, ()).train
