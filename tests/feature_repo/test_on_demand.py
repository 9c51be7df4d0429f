from __future__ import annotations

from typing import Any

import pandas as pd
import pytest

from feature_repo.on_demand import calendar, rotation


def made(view: Any, *rows: dict[str, Any]) -> list[dict[str, Any]]:
    found: pd.DataFrame = view.feature_transformation.udf(pd.DataFrame(rows))
    return found.to_dict("records")  # type: ignore[return-value]


def flight(departure: str, arrival: str = "2013-07-01T18:00Z") -> dict[str, Any]:
    return {
        "scheduled_departure": pd.Timestamp(departure),
        "scheduled_arrival": pd.Timestamp(arrival),
        "asked_at": pd.Timestamp(departure) - pd.Timedelta(hours=1),
    }


def test_holidays_around() -> None:
    days = ["2013-07-03T16:00Z", "2013-07-04T16:00Z", "2013-07-05T02:00Z", "2013-07-06T16:00Z"]
    found = made(calendar, *(flight(day) for day in days))
    ahead, behind = ([row[f"calendar_holiday_{n}"] for row in found] for n in ("ahead", "behind"))
    assert ahead == [1, 0, 0, 7]
    assert behind == [7, 0, 0, 2]


def test_the_hour_is_new_yorks() -> None:
    (row,) = made(calendar, flight("2013-07-01T16:00Z"))
    assert row["calendar_hour_cos"] == pytest.approx(-1)
    assert row["calendar_scheduled_minutes"] == 120


MIDNIGHT = int(pd.Timestamp("2013-07-01T00:00Z").timestamp()) // 60


def aircraft(state: float, delay: float, departure: int, arrival: int) -> dict[str, Any]:
    """Of a flight planned for two hours; minutes since midnight."""
    return {
        **flight("2013-07-01T08:00Z"),
        "aircraft_last_state": state,
        "aircraft_last_delay": delay,
        "aircraft_last_minutes": 120,
        "aircraft_last_departure": MIDNIGHT + departure,
        "aircraft_last_arrival": MIDNIGHT + arrival,
    }


def test_an_aircraft_cannot_land_in_the_past_nor_leave_before_now() -> None:
    """Asked at 7:00 of a flight at 8:00."""
    found = made(
        rotation,
        aircraft(2, 30, 120, 270),
        aircraft(1, 60, 300, 480),
        aircraft(1, 0, 290, 410),
        aircraft(0, float("nan"), 400, 520),
    )
    assert [row["rotation_minutes_between"] for row in found] == [360, 180, 190, 80]
    assert [row["rotation_known_delay"] for row in found] == [30, 60, 0, 20]
    assert [row["rotation_spare"] for row in found] == [210, 0, 60, -60]
    assert [row["rotation_spare_after_return"] for row in found] == [90, -120, -60, -180]


def test_who_is_late_to_be_back_holds_the_flight_up() -> None:
    """By how much of an hour's turn; not who comes two hours late or has not left at all."""
    landed = [aircraft(2, 0, 100, arrival) for arrival in (299, 300, 301, 330, 400, 479, 480, 500)]
    found = made(rotation, *landed, aircraft(1, 0, 300, 470), aircraft(0, float("nan"), 470, 590))
    assert [row["rotation_short_turn"] for row in found] == [0, 0, 1, 30, 60, 60, 0, 0, 60, 0]


def test_what_lies_far_off_is_cut() -> None:
    old, far = made(rotation, aircraft(2, -55, -2000, -1800), aircraft(0, 0, -1000, -900))
    assert list(old.values()) == [1440, -30, 480, 480, 0]
    assert list(far.values()) == [1440, 240, -60, -180, 0]


def test_an_unknown_aircraft_says_nothing() -> None:
    row = dict.fromkeys(aircraft(0, 0, 0, 0), None) | flight("2013-07-01T08:00Z")
    assert all(pd.isna(value) for value in made(rotation, row)[0].values())
