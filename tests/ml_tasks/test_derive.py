from __future__ import annotations

import random
from datetime import datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from feature_repo.transformations import TABLES, FeatureTable
from ml_tasks import config, derive
from ml_tasks.config import ROOT, Environment
from ml_tasks.context import Context
from ml_tasks.errors import LeaseHeldError
from ml_tasks.ingest import raw_schema
from ml_tasks.io.content import content_hash
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake
from ml_tasks.result import Window

PIPELINE = config.load("flight_delays", ROOT / "ml_tasks" / "pipelines")
KEYS = {name: source.key for name, source in PIPELINE.sources.items()}
DAY = Window.parse("2013-01-09/2013-01-10")
ORIGIN = TABLES["origin_traffic"]
Row = dict[str, Any]


def flight(number: int, hour: float, delay: int, **more: Any) -> Row:
    """A flight planned so many hours after the day's start, two hours long, late by `delay`."""
    planned = DAY.start + timedelta(hours=hour)
    left = planned + timedelta(minutes=delay)
    row = {
        "carrier": "UA", "flight": number, "tailnum": f"N{number % 3}", "origin": "EWR",
        "dest": "IAH", "distance": 1400, "scheduled_departure": planned,
        "scheduled_arrival": planned + timedelta(hours=2), "departed_at": left,
        "landed_at": left + timedelta(hours=2), "departure_delay": delay,
        "arrival_delay": delay, "air_time": 120, "event_time": planned,
        "known_at": left + timedelta(hours=2), "corrected_at": None,
    }  # fmt: skip
    return {**row, **more}


def corrected(row: Row, delay: int, at: datetime) -> Row:
    fresh = flight(row["flight"], (row["event_time"] - DAY.start) / timedelta(hours=1), delay)
    return {**fresh, "corrected_at": at, "known_at": max(fresh["known_at"], at)}


def raw(rows: list[Row]) -> dict[str, pa.Table]:
    return {"flights": pa.Table.from_pylist(rows, raw_schema(PIPELINE.sources["flights"]))}


def derived(table: str, rows: list[Row], window: Window = DAY) -> list[Row]:
    found: list[Row] = derive.derive(TABLES[table], raw(rows), KEYS, window).to_pylist()
    return found


def test_traffic_equals_a_count_by_hand() -> None:
    """Every tick and span against a plain loop over the flights."""
    dice = random.Random(3)  # noqa: S311 - a test's data
    flights = [
        flight(i, dice.uniform(-40, 24), dice.choice([-5, 0, 15, 16, 90])) for i in range(120)
    ]
    for f in flights:
        f["departure_delay"] += dice.choice([-10, 0, 4])
    rows = derived("origin_traffic", flights)
    assert len(rows) == 144
    for row in rows:
        for span, hours in (("1h", 1), ("3h", 3), ("6h", 6), ("24h", 24)):
            since = row["event_time"] - timedelta(hours=hours)
            for what, time, delay in (
                ("landed", "landed_at", "arrival_delay"),
                ("left", "departed_at", "departure_delay"),
            ):
                own = [
                    f
                    for f in flights
                    if since <= max(f[time], f["scheduled_departure"]) <= row["event_time"]
                ]
                name = f"origin_{what}_{span}"
                sums = {
                    "mean_delay": sum(f[delay] for f in own),
                    "late_share": sum(f[delay] > 15 for f in own),
                    "mean_gain": sum(f["arrival_delay"] - f["departure_delay"] for f in own),
                }
                for measure, total in sums.items():
                    if f"{name}_{measure}" in row:
                        assert row[f"{name}_{measure}"] == (total / len(own) if own else None)
        assert row["known_at"] == row["event_time"]


def test_flights_that_were_to_leave_and_have_not() -> None:
    """Every tick against a plain loop; who has not left after six hours no longer waits."""
    dice = random.Random(5)  # noqa: S311 - a test's data
    flights = [flight(i, dice.uniform(-20, 24), dice.choice([-9, 0, 50, 400])) for i in range(90)]
    never = {"departed_at": None, "landed_at": None}
    flights = [{**f, **never} if f["flight"] % 9 == 0 else f for f in flights]
    for row in derived("origin_traffic", flights):
        now = row["event_time"]
        own = [
            f
            for f in flights
            if f["scheduled_departure"] <= now < f["scheduled_departure"] + timedelta(hours=6)
            and (f["departed_at"] is None or f["departed_at"] > now)
        ]
        assert row["origin_waiting_count"] == len(own)
        waited = sum(int((now - f["scheduled_departure"]).total_seconds()) for f in own)
        mean = row["origin_waiting_mean_minutes"]
        assert mean == (pytest.approx(waited / 60 / len(own), abs=0.02) if own else None)


@pytest.mark.parametrize("name", ["route_traffic", "carrier_traffic", "aircraft"])
def test_rows_do_not_depend_on_where_a_window_ends(name: str) -> None:
    """Keys that are seldom seen, in one window of ten days and day by day: the same rows."""
    dice = random.Random(8)  # noqa: S311 - a test's data
    flights = [
        flight(i, dice.uniform(-24, 9 * 24), dice.choice([-5, 30, 300]), dest=dest, carrier=dest)
        for i, dest in enumerate(["IAH"] * 12 + ["ORD", "ATL", "BOS"])
    ]
    days = [Window(start=DAY.start + timedelta(days=d), end=DAY.end + timedelta(days=d))
            for d in range(10)]  # fmt: skip
    once = derived(name, flights, Window(start=days[0].start, end=days[-1].end))
    daily = []
    for day in days:
        known = [f for f in flights if f["scheduled_departure"] < day.end]
        daily += derived(name, known, day)
    place = ["event_time", *TABLES[name].keys]
    assert sorted(daily, key=lambda r: [r[p] for p in place]) == sorted(
        once, key=lambda r: [r[p] for p in place]
    )


@pytest.mark.parametrize("name", ["origin_traffic", "number_traffic"])
def test_rows_do_not_depend_on_where_windows_meet(name: str) -> None:
    """Ticks are those of one grid: at a seam between two of them there is no hole."""
    dice = random.Random(9)  # noqa: S311 - a test's data
    flights = [flight(i % 5, dice.uniform(-24, 48), dice.choice([-5, 30])) for i in range(60)]
    seam, end = DAY.start + timedelta(hours=6, minutes=30), DAY.start + timedelta(days=2)
    once = derived(name, flights, Window(start=DAY.start, end=end))
    twice = [
        *derived(name, [f for f in flights if f["scheduled_departure"] < seam],
                 Window(start=DAY.start, end=seam)),
        *derived(name, flights, Window(start=seam, end=end)),
    ]  # fmt: skip
    place = ["event_time", *TABLES[name].keys]
    assert sorted(twice, key=lambda r: [r[p] for p in place]) == sorted(
        once, key=lambda r: [r[p] for p in place]
    )


def test_no_row_knows_what_comes_after_it() -> None:
    past = [flight(i, -i, 20) for i in range(1, 20)]
    future = [flight(100 + i, i, 500) for i in range(1, 12)]
    for name in ("origin_traffic", "aircraft"):
        with_future = {(r["event_time"], r.get("tailnum")): r for r in derived(name, past + future)}
        for row in derived(name, past):
            if row["event_time"] < DAY.start + timedelta(hours=1):
                assert with_future[(row["event_time"], row.get("tailnum"))] == row


def test_corrections_are_known_when_they_land() -> None:
    first = flight(1, 2, 10)
    landing = DAY.start + timedelta(days=3)
    rows = derived("origin_traffic", [first, corrected(first, 60, landing)])
    at_six = [r for r in rows if r["event_time"] == DAY.start + timedelta(hours=6)]
    assert [(r["known_at"], r["origin_left_6h_mean_delay"]) for r in at_six] == [
        (DAY.start + timedelta(hours=6), 10.0),
        (landing, 60.0),
    ]
    untouched = [r for r in rows if r["event_time"] == DAY.start + timedelta(hours=1)]
    assert len(untouched) <= 1


def test_a_flight_that_first_comes_late_is_known_when_it_lands() -> None:
    landing = DAY.start + timedelta(days=30)
    late = {**flight(2, 2, 60), "corrected_at": landing, "known_at": landing}
    rows = derived("origin_traffic", [flight(1, 2, 10), late])
    at_six = [r for r in rows if r["event_time"] == DAY.start + timedelta(hours=6)]
    assert [(r["known_at"], r["origin_left_6h_mean_delay"]) for r in at_six] == [
        (DAY.start + timedelta(hours=6), 10.0),
        (landing, 35.0),
    ]


def test_a_correction_that_was_known_before_the_row_leaves_no_other_version() -> None:
    first, landing = flight(1, 2, 10), DAY.start + timedelta(hours=5)
    rows = derived("origin_traffic", [first, corrected(first, 60, landing)])
    six = DAY.start + timedelta(hours=6)
    assert [
        (r["known_at"], r["origin_left_6h_mean_delay"]) for r in rows if r["event_time"] == six
    ] == [(six, 60.0)]


def test_two_corrections_make_three_versions() -> None:
    first = flight(1, 2, 10)
    cuts = [DAY.start + timedelta(days=d) for d in (3, 5)]
    versions = [first, corrected(first, 60, cuts[0]), corrected(first, 30, cuts[1])]
    rows = [
        r
        for r in derived("origin_traffic", versions[::-1])
        if r["event_time"] == DAY.start + timedelta(hours=6)
    ]
    assert [r["origin_left_6h_mean_delay"] for r in rows] == [10.0, 60.0, 30.0]


def test_a_correction_counts_whatever_the_wrong_version_claims() -> None:
    """Its landing was wrong and lies weeks ahead: the correction is no less the newest."""
    wrong = flight(1, 2, 10)
    ahead = wrong["landed_at"] + timedelta(days=60)
    landing = DAY.start + timedelta(days=3)
    versions = [{**wrong, "landed_at": ahead, "known_at": ahead}, corrected(wrong, 10, landing)]
    rows = derived("aircraft", versions)
    known = [
        (r["aircraft_last_state"], r["known_at"]) for r in rows if r["aircraft_last_state"] == 2
    ]
    assert known == [(2, landing)]


def test_an_event_that_a_correction_moves_leaves_no_phantom() -> None:
    """A landing at 6:05 that was at 5:05: who asks for 7:00 once it is known finds the latter."""
    first = flight(1, 3, 65)
    landing = DAY.start + timedelta(days=3)
    rows = derived("aircraft", [first, corrected(first, 5, landing)])
    found = [(r["event_time"].hour, r["known_at"].day, r["aircraft_last_delay"]) for r in rows]
    assert found == [
        (3, 9, None), (3, 12, 5), (4, 9, 65), (4, 12, 5), (5, 12, 5), (6, 9, 65), (6, 12, 5)
    ]  # fmt: skip
    gone = derived("aircraft", [first, {**corrected(first, 5, landing), "tailnum": "N9"}])
    last = [r for r in gone if r["tailnum"] == "N1" and r["known_at"] == landing]
    assert [r["aircraft_last_state"] for r in last] == [None, None, None]


def test_the_aircrafts_last_flight() -> None:
    """Its state at each moment; one that was to leave counts, though the one before flies still."""
    late = flight(3, -1, 20)
    early = flight(0, 0.5, 90)
    rows = derived("aircraft", [late, early])

    def minutes(hour: float) -> int:
        return int((DAY.start + timedelta(hours=hour)).timestamp()) // 60

    found = [
        (r["event_time"], r["aircraft_last_state"], r["aircraft_last_delay"],
         r["aircraft_last_departure"], r["aircraft_last_arrival"])
        for r in rows
    ]  # fmt: skip
    start = DAY.start
    assert found == [
        (start + timedelta(hours=0.5), 0, None, minutes(0.5), minutes(2.5)),
        (start + timedelta(minutes=80), 0, None, minutes(0.5), minutes(2.5)),
        (start + timedelta(hours=2), 1, 90, minutes(0.5), minutes(4)),
        (start + timedelta(hours=4), 2, 90, minutes(0.5), minutes(4)),
    ]
    assert {r["aircraft_last_minutes"] for r in rows} == {120}
    assert [r["aircraft_24h_departures"] for r in rows] == [1, 1, 2, 2]
    assert [r["aircraft_24h_worst_delay"] for r in rows] == [20, 20, 90, 90]


def test_an_aircrafts_rows_equal_a_plain_look_up() -> None:
    dice = random.Random(2)  # noqa: S311 - a test's data
    flights = [flight(i, dice.uniform(-20, 24), dice.choice([-9, 0, 50, 300])) for i in range(40)]
    never = {"departed_at": None, "landed_at": None, "arrival_delay": None, "departure_delay": None}
    flights = [{**f, **never} if f["flight"] % 7 == 0 else f for f in flights]
    for row in derived("aircraft", flights):
        now = row["event_time"]
        own = [f for f in flights if f["tailnum"] == row["tailnum"]]
        last = max(
            (f for f in own if f["scheduled_departure"] <= now),
            key=lambda f: f["scheduled_departure"],
        )
        landed, left = (
            last[c] is not None and max(last[c], last["scheduled_departure"]) <= now
            for c in ("landed_at", "departed_at")
        )
        state = 2 if landed else 1 if left else 0
        delays = {0: None, 1: last["departure_delay"], 2: last["arrival_delay"]}
        assert (row["aircraft_last_state"], row["aircraft_last_delay"]) == (state, delays[state])


def test_a_schedule_is_known_a_day_before() -> None:
    rows = derived("schedule", [flight(i, 5 + i / 10, 0) for i in range(4)] + [flight(9, 6, 0)])
    assert [(r["slot"], r["schedule_planned_1h"], r["schedule_planned_3h"]) for r in rows] == [
        ("2013-01-09T05", 4, 4),
        ("2013-01-09T06", 1, 5),
    ]
    assert rows[0]["event_time"] == DAY.start - timedelta(hours=19)


def test_the_order_of_rows_does_not_count() -> None:
    flights = [flight(i, i / 7 - 10, i % 50) for i in range(150)]
    one = derive.derive(ORIGIN, raw(flights), KEYS, DAY)
    two = derive.derive(ORIGIN, raw(flights[::-1]), KEYS, DAY)
    assert one.equals(two)


class TestRun:
    WEEKS = tuple(Window.parse(w) for w in ("2013-01-01/2013-01-08", "2013-01-08/2013-01-15"))

    def publish(self, environment: Environment, rows: list[Row], window: Window) -> None:
        control = Control(environment.control)
        control.migrate()
        with control.lease("raw", holder="r/validate", attempt=1) as lease:
            Lake(environment).publish("raw.flights", raw(rows)["flights"], window, lease)

    def derive(self, environment: Environment, window: Window) -> dict[str, str]:
        context = Context(
            task="derive",
            pipeline="p",
            run="r",
            attempt=1,
            environment=environment,
            window=window,
        )
        sources = {"flights": PIPELINE.sources["flights"]}
        result = derive.run(PIPELINE.model_copy(update={"sources": sources}), context)
        assert "weather" not in result.outputs
        lake = Lake(environment)
        return {name: content_hash(lake.read(f"features.{name}")) for name in result.outputs}

    @pytest.fixture
    def weeks(self) -> tuple[list[Row], list[Row]]:
        flights = [flight(i, i / 2 - 8 * 24 + 1, i % 70) for i in range(640)]
        first = [f for f in flights if f["event_time"] < self.WEEKS[1].start]
        second = [f for f in flights if self.WEEKS[1].start <= f["event_time"]]
        return first, [f for f in second if f["event_time"] < self.WEEKS[1].end]

    def test_the_same_rows_again_are_no_snapshot(
        self, environment: Environment, weeks: tuple[list[Row], list[Row]]
    ) -> None:
        self.publish(environment, weeks[0], self.WEEKS[0])
        for _ in range(3):
            tables = self.derive(environment, self.WEEKS[0])
        catalog = Lake(environment).catalog
        for name in tables:
            assert len(catalog.load_table(f"features.{name}").snapshots()) == 1, name

    def test_nobody_else_derives_a_table_meanwhile(
        self,
        environment: Environment,
        weeks: tuple[list[Row], list[Row]],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        """From before the first look at what there is: rows of a stale look would be published."""
        self.publish(environment, weeks[0], self.WEEKS[0])
        control, look, work = Control(environment.control), Lake.latest, derive.derive
        watched = []

        def held(table: str) -> None:
            watched.append(table)
            with (
                pytest.raises(LeaseHeldError, match="r/derive, attempt 1 is publishing it now"),
                control.lease(table, holder="other/derive", attempt=1),
            ):
                pass

        def latest(lake: Lake, table: str) -> datetime | None:
            held(table)
            return look(lake, table)

        def derived(table: FeatureTable, *given: Any) -> pa.Table:
            held(f"features.{table.name}")
            return work(table, *given)

        monkeypatch.setattr(Lake, "latest", latest)
        monkeypatch.setattr(derive, "derive", derived)
        tables = self.derive(environment, self.WEEKS[0])
        assert watched == [f"features.{name}" for name in tables for _ in range(2)]

    def test_a_correction_reaches_the_windows_after_it(
        self, environment: Environment, weeks: tuple[list[Row], list[Row]]
    ) -> None:
        """Grown week by week with a late correction, or derived anew: the same tables."""
        first, second = weeks
        late = corrected(first[-1], 300, self.WEEKS[1].end + timedelta(days=4))
        for rows, window in zip((first, second), self.WEEKS, strict=True):
            self.publish(environment, rows, window)
            before = self.derive(environment, window)
        self.publish(environment, [*first, late], self.WEEKS[0])
        grown = self.derive(environment, self.WEEKS[0])
        assert grown["route_traffic"] != before["route_traffic"]

        anew = Environment(home=environment.home / "anew")
        for rows, window in zip(([*first, late], second), self.WEEKS, strict=True):
            self.publish(anew, rows, window)
        for window in self.WEEKS:
            rebuilt = self.derive(anew, window)
        assert rebuilt == grown

    def test_a_flight_that_left_early_across_the_boundary(self, environment: Environment) -> None:
        """Its raw row comes a window later: deriving the window anew must not see more."""
        boundary = (self.WEEKS[1].start - DAY.start) / timedelta(hours=1)
        flights = [flight(i, boundary - 30 + i, -90) for i in range(60)]
        for window in self.WEEKS:
            own = [f for f in flights if window.start <= f["event_time"] < window.end]
            self.publish(environment, own, window)
            grown = self.derive(environment, window)
        for window in self.WEEKS:
            again = self.derive(environment, window)
        assert again == grown
