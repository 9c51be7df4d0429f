"""What pages ask of control: many pipelines at once, their newest windows, looks in short."""

from __future__ import annotations

import pytest

from ml_tasks.io.control import Control
from ml_tasks.io.watched import Alarm, Look, Measure, Share

DAYS = tuple(f"2013-01-{n:02}" for n in range(1, 31))


def at(day: int) -> str:
    return f"{DAYS[day]}T00:00:00+00:00"


@pytest.fixture
def control(database_url: str) -> Control:
    """Two pipelines with four windows of two metrics and two versions each."""
    made = Control(database_url)
    made.migrate()
    for name in ("p", "q"):
        for day in range(4):
            with made.lease(f"{name} {day}", holder="r/monitor", attempt=1) as lease:
                made.complete(name, at(day), at(day + 1), f"in-{day}", lease)
                made.watch(name, [*measured(name, day), looked(name, day)], lease)
                made.watch(name, [alarmed(name, day)], lease)
    return made


def measured(name: str, day: int) -> list[Measure]:
    return [
        Measure(
            pipeline=name, version=version, start=at(day), end=at(day + 1), kind="realised",
            metric=metric, segment=segment, value=day, low=None, high=None, error=None, rows=1,
            predicted=1, known=at(day + 1), run="r",
        )
        for version in ("1", "2")
        for metric in ("auc", "mae")
        for segment in ("", "carrier=UA")
    ]  # fmt: skip


def looked(name: str, day: int) -> Look:
    return Look(
        pipeline=name, version="1", day=DAYS[day], signal="ks a", value=0.5, p_value=None,
        cost=None, rows=1, run="r", share=None if day == 2 else 0.25,
    )  # fmt: skip


def alarmed(name: str, day: int) -> Alarm:
    return Alarm(
        pipeline=name, version="1", day=DAYS[day], of="inputs", level=1.5, paged=True, loss=None,
        signals=[], run="r",
    )  # fmt: skip


def test_the_newest_windows_of_all_pipelines(control: Control) -> None:
    found = control.newest_windows(2)
    assert sorted(found) == ["p", "q"]
    assert [(w.start, w.run) for w in found["p"]] == [(at(2), "in-2"), (at(3), "in-3")]
    assert control.newest_windows(9)["q"] == control.windows("q")


def test_one_metric_of_each_pipeline_on_its_newest_windows(control: Control) -> None:
    found = control.newest_measures({"p": "auc", "q": "mae", "none": "auc"}, 2)
    told = [(m.pipeline, m.metric, m.start, m.segment) for m in found]
    assert told == [
        (name, metric, at(day), "")
        for name, metric in (("p", "auc"), ("q", "mae"))
        for day in (2, 3)
        for _version in ("1", "2")
    ]
    assert control.newest_measures({}, 2) == []


def test_a_metric_of_a_segment(control: Control) -> None:
    found = control.measures("p", since=at(1), metric="mae", segment="carrier=UA")
    assert {(m.metric, m.segment) for m in found} == {("mae", "carrier=UA")}
    assert [m.start for m in found] == [at(day) for day in (1, 2, 3) for _ in range(2)]
    assert {m.segment for m in control.measures("p")} == {""}
    assert {m.segment for m in control.measures("p", segments=True)} == {"", "carrier=UA"}


def test_looks_at_some_signals_in_short_by_day(control: Control) -> None:
    assert control.shares("p", ["ks a", "ks c"], since=DAYS[2]) == [
        Share(DAYS[2], "1", "ks a", 0.5, None, "r"),
        Share(DAYS[3], "1", "ks a", 0.5, 0.25, "r"),
    ]
    assert control.shares("p", []) == []
    assert control.shares("p", ["ks b"]) == []


def test_how_far_each_signal_was(control: Control) -> None:
    assert control.furthest("p", "1", since=DAYS[2]) == {"ks a": 0.25}
    assert control.furthest("p", "2", since=DAYS[0]) == {}


def test_champions_and_alarms_of_all(control: Control) -> None:
    assert control.champions() == {}
    for name in ("p", "q"):
        control.promote(
            name, "1", expected=None, run="r", verdict_uri="u", who="me", why="all gates passed"
        )
    assert control.champions() == {name: control.champion(name) for name in ("p", "q")}
    assert [a.day for a in control.alarms()] == [day for day in DAYS[:4] for _ in range(2)]
    assert len(control.alarms("p")) == 4
