"""What each policy wants, by tables of cases."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from ml_tasks import policies
from ml_tasks.config import Policy
from ml_tasks.errors import ConfigError
from ml_tasks.policies.evidence import Evidence, Measured, Page
from ml_tasks.result import Window

WEEK = Window.parse("2013-06-11/2013-06-18")
LEARNED = Window.parse("2013-01-01/2013-06-04")
EVIDENCE = Evidence(
    window=WEEK,
    learned_until=LEARNED.end,
    metric="roc_auc",
    sign=1,
    reference=Measured(LEARNED, 0.75, 0.005, 9_000),
)


def weeks(*values: float, error: float = 0.004, rows: int = 6_000) -> tuple[Measured, ...]:
    ends = [WEEK.end - timedelta(weeks=n) for n in reversed(range(len(values)))]
    return tuple(
        Measured(Window(start=end - timedelta(weeks=1), end=end), value, error, rows)
        for end, value in zip(ends, values, strict=True)
    )


def page(days_ago: int, loss: float | None, *signals: str) -> Page:
    return Page(WEEK.end - timedelta(days=days_ago), signals or ("ks dep",), loss)


@pytest.mark.parametrize(
    ("evidence", "policy", "gain"),
    [
        pytest.param({}, Policy(name="drift"), "no", id="no alarm"),
        pytest.param({"pages": (page(3, 0.02),)}, Policy(name="drift"), 0.02, id="alarm"),
        pytest.param({"pages": (page(3, None),)}, Policy(name="drift"), None, id="cost unknown"),
        pytest.param({"pages": (page(14, 0.02),)}, Policy(name="drift"), "no", id="old alarm"),
        pytest.param(
            {"pages": (page(9, 0.03), page(2, 0.01))}, Policy(name="drift"), 0.03, id="two alarms"
        ),
        pytest.param({}, Policy(name="performance"), "no", id="nothing measured"),
        pytest.param(
            {"realised": weeks(0.70)}, Policy(name="performance"), "no", id="one window too few"
        ),
        pytest.param(
            {"realised": weeks(0.72, 0.71)}, Policy(name="performance"), 0.035, id="worse"
        ),
        pytest.param(
            {"realised": weeks(0.70, 0.75, 0.745)},
            Policy(name="performance"),
            "no",
            id="again good",
        ),
        pytest.param(
            {"realised": weeks(0.72, 0.71, error=0.1)},
            Policy(name="performance"),
            "no",
            id="may be chance",
        ),
        pytest.param(
            {"realised": weeks(0.72, 0.71)},
            Policy(name="performance", params={"drop": 0.05}),
            "no",
            id="not enough",
        ),
        pytest.param(
            {"estimated": weeks(0.72, 0.72)},
            Policy(name="performance", params={"kind": "estimated"}),
            0.03,
            id="by estimate",
        ),
        pytest.param(
            {"metric": "rmse", "sign": -1, "realised": weeks(0.80, 0.80)},
            Policy(name="performance"),
            0.05,
            id="smaller is better",
        ),
        pytest.param({}, Policy(name="schedule"), "no", id="young"),
        pytest.param({}, Policy(name="schedule", params={"days": 14}), None, id="old"),
    ],
)
def test_what_a_policy_wants(
    evidence: dict[str, object], policy: Policy, gain: float | str | None
) -> None:
    found = policies.wish(policy, replace(EVIDENCE, **evidence))  # type: ignore[arg-type]
    if gain == "no":
        assert found is None
        return
    assert found is not None
    assert found.policy == policy.name
    assert found.gain == (gain if gain is None else pytest.approx(gain))


def test_windows_count_by_their_rows() -> None:
    few, many = weeks(0.60, rows=100)[0], weeks(0.75, rows=9_900)[0]
    evidence = replace(EVIDENCE, realised=(few, many))
    assert policies.wish(Policy(name="performance"), evidence) is None


@pytest.mark.parametrize(
    ("policy", "said"),
    [
        (Policy(name="moon"), "retraining.policies: came name 'moon', wanted one of"),
        (Policy(name="drift", params={"within": 3}), "within"),
        (Policy(name="schedule", params={"days": 0}), "days"),
    ],
)
def test_what_does_not_hold_is_said(policy: Policy, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        policies.params_of(policy)


def test_nothing_is_older_than_itself() -> None:
    assert EVIDENCE.window.end == datetime(2013, 6, 18, tzinfo=UTC)
    assert EVIDENCE.loss(0.7) == pytest.approx(0.05)
