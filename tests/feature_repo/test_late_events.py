"""The join where events of one key come late, at once, and corrected: each order of them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import permutations, product

import polars as pl
import pytest

from feature_repo.point_in_time import join

TIME = pl.Datetime("us", "UTC")
FEATURES = {"key": pl.String, "event_time": TIME, "known_at": TIME, "x": pl.Int64}
Event = tuple[int, int]
"""When it happened and when it was known."""


def at(hour: int) -> datetime:
    return datetime(2013, 1, 1, tzinfo=UTC) + timedelta(hours=hour)


def found(events: list[Event], hours: list[int], ttl: int | None = None) -> list[int | None]:
    """Place of the event that is found at each hour; another key's events lie between."""
    rows = [("k", at(e), at(k), i) for i, (e, k) in enumerate(events)]
    rows += [("other", at(e), at(k), -1) for e, k in events]
    asks = pl.DataFrame(
        {"key": ["k"] * len(hours), "asked": [at(h) for h in hours], "n": hours},
        schema={"key": pl.String, "asked": TIME, "n": pl.Int64},
    )
    joined = join(
        asks, pl.DataFrame(rows, schema=FEATURES, orient="row"), keys=("key",), asked_at="asked",
        ttl=None if ttl is None else timedelta(hours=ttl),
    )  # fmt: skip
    assert joined["n"].to_list() == hours, "in the order in which it was asked"
    return joined["x"].to_list()


@pytest.mark.parametrize(
    ("events", "asked", "right"),
    [
        ([(5, 5), (3, 9)], 10, 0),
        ([(5, 5), (3, 9)], 4, None),
        ([(2, 7), (6, 7)], 8, 1),
        ([(6, 7), (2, 7)], 8, 0),
        ([(4, 4), (4, 6)], 5, 0),
        ([(4, 4), (4, 6)], 6, 1),
        ([(4, 2), (4, 4)], 4, 1),
        ([(4, 4), (4, 2)], 4, 0),
        ([(4, 8), (6, 7), (5, 9)], 9, 1),
        ([(1, 1), (9, 2)], 5, 0),
        ([(1, 1), (9, 2)], 9, 1),
    ],
)
def test_the_newest_event_that_was_known(
    events: list[Event], asked: int, right: int | None
) -> None:
    assert found(events, [asked]) == [right]


def test_whatever_the_order_of_rows_and_of_asking() -> None:
    events, hours = [(5, 5), (3, 9), (6, 7), (6, 8)], [9, 4, 8, 6, 5, 7]
    said = [3, None, 3, 0, 0, 2]
    for order in permutations(range(4)):
        places = [None if s is None else order.index(s) for s in said]
        assert found([events[i] for i in order], hours) == places


def test_an_event_is_found_up_to_its_age_and_not_beyond() -> None:
    assert found([(1, 1)], [1, 3, 4], ttl=2) == [0, 0, None]
    assert found([(1, 1), (2, 9)], [9, 4], ttl=7) == [1, 0]


def test_all_of_three_events_within_four_hours() -> None:
    """Every one of them, held against a plain search."""
    times = list(product(range(4), repeat=2))
    for events in product(times, repeat=3):
        answers = found(list(events), [0, 1, 2, 3])
        for hour, answer in enumerate(answers):
            known = [e for e in events if max(e) <= hour]
            said = None if answer is None else events[answer]
            assert said == max(known, default=None), (events, hour)


@pytest.mark.parametrize("late", [-1, 1], ids=["known before they happen", "known later"])
def test_of_many_versions_of_many_events_each_asker_finds_the_last(late: int) -> None:
    """So many that a sort shows which does not keep the order of equals."""
    versions, count = 5, 4_000
    events = [(hour, hour + late * v) for v in range(versions) for hour in range(versions, count)]
    hours = list(range(2 * versions, count))
    assert found(events, hours) == [hour - versions for hour in hours]
