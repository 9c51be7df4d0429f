from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.point_in_time import join

START = datetime(2013, 1, 1, tzinfo=UTC)
TTL = timedelta(hours=12)
TIME = pl.Datetime("us", "UTC")
ENTITIES = {"id": pl.Int64, "a": pl.String, "b": pl.String, "asked": TIME}
FEATURES = {"a": pl.String, "b": pl.String, "event_time": TIME, "known_at": TIME, "x": pl.Int64}
hours = st.integers(0, 30)
keys = st.sampled_from(["u", "v", None])


def at(hour: int) -> datetime:
    return START + timedelta(hours=hour)


def oracle(ask: dict[str, Any], rows: list[dict[str, Any]]) -> list[int]:
    """All values that are right: of the newest event, in its newest version, known when asked."""
    own = [
        r
        for r in rows
        if (r["a"], r["b"]) == (ask["a"], ask["b"])
        and None not in (r["a"], r["b"])
        and r["event_time"] <= ask["asked"]
        and r["known_at"] <= ask["asked"]
    ]
    if not own:
        return []
    newest = max((r["event_time"], r["known_at"]) for r in own)
    if newest[0] < ask["asked"] - TTL:
        return []
    return [r["x"] for r in own if (r["event_time"], r["known_at"]) == newest]


@given(
    asks=st.lists(st.tuples(keys, keys, hours), max_size=12),
    events=st.lists(st.tuples(keys, keys, hours, hours), max_size=25),
)
@settings(max_examples=300, deadline=None)
def test_equals_a_plain_search(
    asks: list[tuple[str, str, int]], events: list[tuple[str, str, int, int]]
) -> None:
    entities = [{"id": i, "a": a, "b": b, "asked": at(hour)} for i, (a, b, hour) in enumerate(asks)]
    rows = [
        {"a": a, "b": b, "event_time": at(event), "known_at": at(known), "x": i}
        for i, (a, b, event, known) in enumerate(events)
    ]
    joined = join(
        pl.DataFrame(entities, schema=ENTITIES),
        pl.DataFrame(rows, schema=FEATURES),
        keys=("a", "b"),
        asked_at="asked",
        ttl=TTL,
    )
    assert joined["id"].to_list() == [e["id"] for e in entities]
    for ask, found in zip(entities, joined["x"].to_list(), strict=True):
        right = oracle(ask, rows)
        assert found in right if right else found is None


def test_both_cuts_and_the_age() -> None:
    rows = [
        {"a": "u", "b": "v", "event_time": at(1), "known_at": at(1), "x": 1},
        {"a": "u", "b": "v", "event_time": at(1), "known_at": at(5), "x": 2},
        {"a": "u", "b": "v", "event_time": at(3), "known_at": at(9), "x": 3},
    ]
    asks = [{"id": h, "a": "u", "b": "v", "asked": at(h)} for h in (0, 1, 4, 5, 8, 9, 15, 16)]
    joined = join(
        pl.DataFrame(asks, schema=ENTITIES),
        pl.DataFrame(rows, schema=FEATURES),
        keys=("a", "b"),
        asked_at="asked",
        ttl=TTL,
    )
    assert joined["x"].to_list() == [None, 1, 1, 2, 2, 3, 3, None]
