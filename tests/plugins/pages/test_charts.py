"""Where things of a chart lie."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from ml_tasks.io.watched import Alarm, Share
from ml_tasks.io.windows import Ingested

START = datetime(2013, 1, 1, tzinfo=UTC)


@pytest.fixture(scope="module", autouse=True)
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Charts know nothing of Airflow."""


def test_values_have_room_and_far_intervals_are_cut() -> None:
    from ml_pages import charts

    down = charts.domain([0.70, 0.74], [0.68, 0.76, -3.0], height=100)
    assert down.low < 0.68
    assert down.low > 0.5
    assert down.at(0.76) < down.at(0.70) < 100
    assert down.at(-3.0) == down.at(down.low) == 94
    same = charts.domain([0.5, 0.5])
    assert same.low < 0.5 < same.high
    nothing = charts.domain([])
    assert nothing.low < nothing.high


@pytest.mark.parametrize(
    ("low", "high", "labels"),
    [
        (0.683, 0.762, ["0.70", "0.72", "0.74", "0.76"]),
        (0.7, 0.725, ["0.700", "0.705", "0.710", "0.715", "0.720", "0.725"]),
        (11, 19, ["12", "14", "16", "18"]),
        (0, 2600, ["0", "500", "1,000", "1,500", "2,000", "2,500"]),
        (-0.06, 0.06, ["-0.06", "-0.04", "-0.02", "0.00", "0.02", "0.04", "0.06"]),
    ],
)
def test_values_are_labelled_roundly(low: float, high: float, labels: list[str]) -> None:
    from ml_pages import charts

    ticks = charts.value_ticks(charts.Down(low, high, 200))
    assert [tick.label for tick in ticks] == labels
    assert [tick.at for tick in ticks] == sorted((tick.at for tick in ticks), reverse=True)


@pytest.mark.parametrize(
    ("days", "labels"),
    [
        (5, ["2013-01-01", "2013-01-03", "2013-01-05"]),
        (100, ["2013-02", "2013-03", "2013-04"]),
        (
            730,
            [
                "2013-04",
                "2013-07",
                "2013-10",
                "2014-01",
                "2014-04",
                "2014-07",
                "2014-10",
                "2015-01",
            ],
        ),
        (3650, ["2014-01", "2016-01", "2018-01", "2020-01", "2022-01"]),
    ],
)
def test_times_are_labelled_apart_from_each_other(days: int, labels: list[str]) -> None:
    from ml_pages import charts

    ticks = charts.month_ticks(charts.Across(START, START + timedelta(days=days)))
    assert [tick.label for tick in ticks] == labels
    assert all(0 <= tick.at <= 100 for tick in ticks)


def test_lines_and_bands_are_interrupted_where_windows_lack() -> None:
    from ml_pages import charts

    line = charts.path([(0, 5), (10, 6.25), None, (50, 1)])
    assert line == "M0.0 5.0L100.0 6.2M500.0 1.0"
    area = charts.band([(0, 1, 9), (10, 2, 8), None, (50, 3, 7)])
    assert area == "M0.0 1.0L100.0 2.0L100.0 8.0L0.0 9.0Z"


def test_neighbouring_cells_are_one_shape() -> None:
    from ml_pages import charts

    found = charts.cells([(1, 0), (0, 2), (0, 1), (0, 5)])
    assert found == "M1 0h2v1h-2zM5 0h1v1h-1zM0 1h1v1h-1z"


def test_each_window_shows_a_signals_furthest_day() -> None:
    from ml_pages.heat import heat

    windows = [
        Ingested(f"2013-01-{a:02}T00:00:00+00:00", f"2013-01-{b:02}T00:00:00+00:00", f"in-{a}")
        for a, b in ((1, 8), (8, 15), (15, 22))
    ]
    looks = [
        Share("2013-01-08", "1", "ks a", 0.1, 0.2, "r2"),
        Share("2013-01-09", "1", "ks a", 0.3, 1.4, "r2"),
        Share("2013-01-14", "1", "ks b", 0.2, None, "r2"),
        Share("2013-01-16", "2", "ks b", 0.2, 0.02, "r3"),
    ]
    alarm = Alarm(
        pipeline="p", version="1", day="2013-01-09", of="inputs", level=1.4, paged=False,
        loss=None, signals=[{"name": "ks a"}], run="r2",
    )  # fmt: skip
    found = heat(looks, [alarm], windows)
    assert found is not None
    assert [column.run for column in found.columns] == ["r2", "r3"]
    assert [row.signal for row in found.rows] == ["ks a", "ks b"]
    first = found.rows[0].cells[0]
    assert first is not None
    assert (first.share, first.day, found.rows[0].cells[1]) == (1.4, "2013-01-09", None)
    assert dict(found.shades) == {0: "M0 1h1v1h-1z", 2: "M1 1h1v1h-1z", 5: "M0 0h1v1h-1z"}
    assert [(tick.at, tick.label) for tick in found.changes] == [(50.0, "2")]
    assert [(at, column.paged) for at, column in found.marks] == [(25.0, False)]
    assert found.unknown
    assert heat([], [alarm], windows) is None


def test_signals_that_alarmed_often_and_those_that_are_furthest_are_shown() -> None:
    from ml_pages import heat

    alarms = [
        Alarm(
            pipeline="p", version="1", day="2013-01-09", of="inputs", level=1.4, paged=False,
            loss=None, signals=[{"name": f"old {n}"} for n in range(25)], run="r",
        )
    ]  # fmt: skip
    furthest = {f"late {n}": 1 / (n + 1) for n in range(500)}
    shown = heat.chosen(furthest, alarms)
    assert shown == [*(f"old {n}" for n in range(20)), *(f"late {n}" for n in range(20))]
    assert heat.chosen({}, []) == []
