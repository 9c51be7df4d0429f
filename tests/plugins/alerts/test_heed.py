"""Trainings that other systems' alerts ask for, held against a real ledger."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from ml_alerts.heed import heed, weigh
from ml_alerts.watchers import Reported, Unsent

from ml_tasks import config
from ml_tasks.errors import ConfigError
from ml_tasks.io.control import Control, Report
from ml_tasks.io.database import now
from ml_tasks.io.watched import Alarm
from ml_tasks.io.windows import NONE_IN
from tests.plugins.alerts.conftest import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_tasks.config import Pipeline

OUTSIDE = {"name": "outside", "params": {"alerts": ["FeedChanged"], "labels": {"severity": "page"}}}


def report(control: Control, fingerprint: str, name: str = "FeedChanged", **labels: str) -> Report:
    made = Report(
        pipeline=NAME,
        fingerprint=fingerprint,
        starts_at="2013-01-05T10:00:00.000+00:00",
        source="alertmanager",
        status="open",
        labels={"alertname": name, "severity": "page", **labels},
        annotations={"summary": "schema 7"},
        link="http://prometheus/graph",
        received=now(),
    )
    control.report([made])
    return made


def bring_in(control: Control, start: str, end: str) -> None:
    with control.lease(f"{start}", holder="t", attempt=1) as lease:
        control.complete(NAME, start, end, "run", lease)


@pytest.fixture
def listening(product: Callable[..., Pipeline], control: Control) -> Control:
    """A product that listens, with one window in."""
    product(policies=[OUTSIDE])
    bring_in(control, "2013-01-01", "2013-01-08")
    return control


def watched() -> list[str]:
    """What the watcher in the triggerer would tell the intake of, now."""
    return Reported(NAME)._waiting()


def test_an_alert_asks_once_with_its_labels_as_evidence(listening: Control) -> None:
    made = report(listening, "a")
    assert watched() == [made.key]
    trigger = listening.trigger(heed(NAME, "run"))
    assert (trigger.cause, trigger.window, trigger.who) == (
        "outside", "2013-01-01/2013-01-08", "run",
    )  # fmt: skip
    (evidence,) = trigger.evidence["reports"]
    assert evidence["labels"]["alertname"] == "FeedChanged"
    assert (evidence["annotations"], evidence["link"]) == (made.annotations, made.link)
    assert watched() == []
    for _ in range(4):
        report(listening, "a")
    with pytest.raises(AirflowSkipException, match="nothing is reported that counts"):
        heed(NAME, "another run")
    assert len(listening.triggers(NAME)) == 1


def test_a_retry_after_a_crash_between_row_and_event_finds_its_trigger(listening: Control) -> None:
    report(listening, "a")
    first = heed(NAME, "run")
    bring_in(listening, "2013-01-08", "2013-01-29")
    assert heed(NAME, "run") == first
    assert len(listening.triggers(NAME)) == 1
    listening.claim(first, "t")
    with pytest.raises(AirflowSkipException, match=f"trigger {first}: run asked for"):
        heed(NAME, "run")


def test_watchers_and_doors_at_once_ask_once(listening: Control) -> None:
    report(listening, "a")

    def door(number: int) -> str | None:
        try:
            if number % 2:
                return heed(NAME, f"run {number}")
            found = listening.unheeded(NAME)
            evidence = {"why": "", "reports": [one.shown for one in found]}
            window = f"2013-01-01/2013-01-{8 + number:02}"
            return listening.ask(NAME, "monitor", window, who="m", evidence=evidence)[0].id
        except AirflowSkipException:
            return None

    with ThreadPoolExecutor(4) as pool:
        asked = {one for one in pool.map(door, range(1, 6, 1)) if one}
    named = [t for t in listening.triggers(NAME) if t.evidence["reports"]]
    assert len(named) == 1
    assert named[0].id in asked


@pytest.mark.parametrize(
    ("labels", "heard"),
    [({}, True), ({"severity": "info"}, False), ({"alertname": "Other"}, False)],
)
def test_only_what_the_owner_named_counts(
    listening: Control, labels: dict[str, str], heard: bool
) -> None:
    report(listening, "a", **labels)
    assert bool(watched()) is heard


def test_cool_down_and_budget_hold_over_both_doors(
    product: Callable[..., Pipeline], control: Control
) -> None:
    found = product(policies=[OUTSIDE], cool_down_days=10, most_a_month=2)
    report(control, "a")
    assert weigh(control, found).against == NONE_IN
    bring_in(control, "2013-01-01", "2013-01-08")
    control.ask(NAME, "monitor", "2013-01-01/2013-01-08", who="m", evidence={})
    assert weigh(control, found).against == "a training up to 2013-01-08 was asked for already"
    bring_in(control, "2013-01-08", "2013-01-15")
    assert weigh(control, found).against == "cool-down of 10 days since 2013-01-08"
    assert watched() == []
    with pytest.raises(AirflowSkipException, match="FeedChanged: cool-down of 10 days"):
        heed(NAME, "run")
    bring_in(control, "2013-01-15", "2013-01-22")
    assert watched() == ["a 2013-01-05T10:00:00.000+00:00"]
    heed(NAME, "run")
    report(control, "b")
    bring_in(control, "2013-01-22", "2013-02-05")
    assert str(weigh(control, found).against).startswith("2 trainings were asked for in 30 days")


def test_who_was_not_asked_yet_when_it_was_weighed_counts(
    product: Callable[..., Pipeline], control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    product(policies=[OUTSIDE], cool_down_days=10)
    bring_in(control, "2013-01-01", "2013-01-08")
    report(control, "a")

    def meanwhile(*told: Any) -> Any:
        found = weigh(*told)
        control.ask(NAME, "monitor", "2013-01-01/2013-01-02", who="m", evidence={})
        return found

    monkeypatch.setattr("ml_alerts.heed.weigh", meanwhile)
    with pytest.raises(AirflowSkipException, match="FeedChanged: cool-down of 10 days since"):
        heed(NAME, "run")
    assert [one.cause for one in control.triggers(NAME)] == ["monitor"]


def test_what_a_person_repeats_takes_nothing_of_the_budget(
    product: Callable[..., Pipeline], control: Control
) -> None:
    found = product(policies=[OUTSIDE], cool_down_days=3, most_a_month=2)
    bring_in(control, "2013-01-01", "2013-01-08")
    first, _new = control.ask(NAME, "monitor", "2013-01-01/2013-01-08", who="m", evidence={})
    for _ in range(2):
        again = control.replay(first.id, who="me", why="labels were mended")
        control.claim(again.id, "t")
    bring_in(control, "2013-01-08", "2013-01-15")
    report(control, "a")
    assert weigh(control, found).against is None
    assert control.trigger(heed(NAME, "run")).window == "2013-01-01/2013-01-15"


def test_where_all_policies_must_want_it_monitoring_decides(
    product: Callable[..., Pipeline], control: Control
) -> None:
    found = product(policies=[OUTSIDE, {"name": "drift"}], when="all")
    bring_in(control, "2013-01-01", "2013-01-08")
    report(control, "a")
    assert weigh(control, found).against == "all policies must want it: monitoring decides"
    assert watched() == []


def test_the_products_own_pages_count_where_the_owner_says_so(
    product: Callable[..., Pipeline], control: Control
) -> None:
    bring_in(control, "2013-01-01", "2013-01-08")
    control.promote(
        NAME, "1", expected=None, run="r", verdict_uri="u", who="me", why="the first"
    )  # fmt: skip
    alarms = [
        Alarm(
            pipeline=NAME, version=version, day=day, of="inputs", level=2.0, paged=paged,
            loss=0.01, signals=[{"name": "ks dep_delay"}], run="m",
        )
        for version, day, paged in (("1", "2013-01-05", True), ("1", "2013-01-06", False),
                                    ("0", "2013-01-07", True))
    ]  # fmt: skip
    with control.lease("watch", holder="m/monitor", attempt=1) as lease:
        control.watch(NAME, alarms, lease)
    product(policies=[{"name": "outside"}])
    assert watched() == []
    product(policies=[{"name": "outside", "params": {"alarms": True}}])
    assert watched() == ["version 1 inputs 2013-01-05"]
    assert "ks dep_delay" in control.trigger(heed(NAME, "run")).evidence["why"]
    assert watched() == [], "a training takes that day in"


def test_an_alarm_behind_a_hole_waits_until_a_training_would_see_its_day(
    product: Callable[..., Pipeline], control: Control
) -> None:
    bring_in(control, "2013-01-01", "2013-01-08")
    bring_in(control, "2013-01-15", "2013-01-22")
    control.promote(NAME, "1", expected=None, run="r", verdict_uri="u", who="me", why="first")
    alarm = Alarm(
        pipeline=NAME, version="1", day="2013-01-16", of="inputs", level=2.0, paged=True,
        loss=0.01, signals=[{"name": "ks dep_delay"}], run="m",
    )  # fmt: skip
    with control.lease("watch", holder="m/monitor", attempt=1) as lease:
        control.watch(NAME, [alarm], lease)
    product(policies=[{"name": "outside", "params": {"alarms": True}}])
    assert watched() == []
    with pytest.raises(AirflowSkipException, match="nothing is reported that counts"):
        heed(NAME, "early")
    bring_in(control, "2013-01-08", "2013-01-15")
    assert watched() == ["version 1 inputs 2013-01-16"]
    assert control.trigger(heed(NAME, "run")).window.endswith("/2013-01-22")


def test_a_schedule_that_begins_after_all_that_is_in(
    product: Callable[..., Pipeline], listening: Control
) -> None:
    report(listening, "a")
    made = product(policies=[OUTSIDE])
    later = made.schedule.model_copy(update={"start": date(2013, 1, 8)})
    assert listening.all_in(made.model_copy(update={"schedule": later})) is None
    assert listening.all_in(made) is not None


def test_the_watchers_tell_the_intake(product: Callable[..., Pipeline], listening: Control) -> None:
    report(listening, "a")
    listening.post(NAME, "failed", "k", ["webhook http://x"], {})

    async def first(watcher: Any) -> dict[str, list[str]]:
        async for event in watcher.run():
            found: dict[str, list[str]] = event.payload
            return found
        raise AssertionError

    assert asyncio.run(first(Reported(NAME))) == {"reports": ["a 2013-01-05T10:00:00.000+00:00"]}
    assert asyncio.run(first(Unsent(NAME))) == {"alerts": listening.due(NAME)}
    assert Unsent(NAME).serialize() == ("ml_alerts.watchers.Unsent", {"pipeline": NAME})


def test_a_word_that_is_none_is_found_when_the_yaml_is_read(
    product: Callable[..., Pipeline],
) -> None:
    with pytest.raises(ConfigError, match=r"params: alert: came an unknown key.*'alerts'"):
        product(policies=[{"name": "outside", "params": {"alert": ["X"]}}])
    assert config.load_good()[0] == ()
