from __future__ import annotations

import math
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
from hypothesis import given, settings
from hypothesis import strategies as st

from feature_repo.point_in_time import join

if TYPE_CHECKING:
    from collections.abc import Callable

Row = dict[str, Any]
START = datetime(2013, 1, 1, tzinfo=UTC)
TTL = timedelta(hours=12)
TIME = pl.Datetime("us", "UTC")
ENTITIES = {"id": pl.Int64, "a": pl.String, "b": pl.String, "asked": TIME}
FEATURES = {"a": pl.String, "b": pl.String, "event_time": TIME, "known_at": TIME, "x": pl.Int64}
KEYS: tuple[tuple[pl.DataType, list[Any]], ...] = (
    (pl.Int64(), [-1, 2**40, None]),
    (pl.Int32(), [0, 7, None]),
    (pl.String(), ["", "u", None]),
)
VALUES: tuple[tuple[pl.DataType, list[Any]], ...] = (
    (pl.Int64(), [0, 1, -(2**60), None]),
    (pl.Float64(), [0.1, -math.inf, math.nan, None]),
    (pl.String(), ["", "new", "ü", None]),
    (pl.Boolean(), [True, False, None]),
)
AGES = (None, *(timedelta(hours=hour) for hour in (0, 1, 6, 12)))
hours = st.integers(0, 30)


@dataclass(frozen=True)
class Case:
    """Asks and feature rows of one drawn schema."""

    keys: tuple[str, ...]
    features: tuple[str, ...]
    ttl: timedelta | None
    asks: pl.DataFrame
    rows: pl.DataFrame


@st.composite
def cases(draw: Callable[..., Any]) -> Case:
    """Draw one to three keys, one to four features, an age, and rows that share few keys."""
    key_types = draw(st.lists(st.sampled_from(KEYS), min_size=1, max_size=3))
    value_types = draw(st.lists(st.sampled_from(VALUES), min_size=1, max_size=4))
    keys = {f"key_{n}": kind for n, (kind, _) in enumerate(key_types)}
    features = {f"feature_{n}": kind for n, (kind, _) in enumerate(value_types)}
    parts = st.tuples(*(st.sampled_from(values) for _, values in key_types))
    own = st.sampled_from(draw(st.lists(parts, min_size=2, max_size=3, unique=True)))
    cells = st.tuples(*(st.sampled_from(values) for _, values in value_types))
    least = draw(st.sampled_from((0, 8)))
    asks = draw(st.lists(st.tuples(own, hours), min_size=least, max_size=12))
    rows = draw(st.lists(st.tuples(own, hours, hours, cells), min_size=least, max_size=25))
    columns = draw(st.permutations([*keys, *features, "event_time", "known_at"]))
    kinds = {**keys, **features, "event_time": TIME, "known_at": TIME}
    # Whole numbers of an ask may have come as wider ones.
    wide = {n: pl.Int64() if kind == pl.Int32() else kind for n, kind in keys.items()}
    return Case(
        tuple(keys),
        tuple(features),
        draw(st.sampled_from(AGES)),
        pl.DataFrame(
            [(i, *key, at(hour)) for i, (key, hour) in enumerate(asks)],
            schema={"id": pl.Int64(), **wide, "asked": TIME},
            orient="row",
        ),
        pl.DataFrame(
            [(*key, *values, at(event), at(known)) for key, event, known, values in rows],
            schema={name: kinds[name] for name in (*keys, *features, "event_time", "known_at")},
            orient="row",
        ).select(columns),
    )


def at(hour: int) -> datetime:
    return START + timedelta(hours=hour)


def oracle(case: Case, ask: Row, rows: list[Row]) -> list[Row]:
    """All rows that are right: of the newest event, in its newest version, known when asked."""
    key = [ask[name] for name in case.keys]
    own = [
        r
        for r in rows
        if [r[name] for name in case.keys] == key
        and None not in key
        and r["event_time"] <= ask["asked"]
        and r["known_at"] <= ask["asked"]
    ]
    if not own:
        return []
    newest = max((r["event_time"], r["known_at"]) for r in own)
    if case.ttl is not None and newest[0] < ask["asked"] - case.ttl:
        return []
    return [r for r in own if (r["event_time"], r["known_at"]) == newest]


@given(case=cases())
@settings(max_examples=300, deadline=None)
def test_equals_a_plain_search(case: Case) -> None:
    joined = join(case.asks, case.rows, keys=case.keys, asked_at="asked", ttl=case.ttl)
    kinds = {name: case.rows.schema[name] for name in case.rows.columns if name in case.features}
    assert joined.schema == {**case.asks.schema, **kinds}
    assert joined.select(case.asks.columns).equals(case.asks)
    rows = case.rows.to_dicts()
    nothing = dict.fromkeys(case.features)
    for ask, found in zip(case.asks.to_dicts(), joined.to_dicts(), strict=True):
        right = oracle(case, ask, rows) or [nothing]
        # By their text, in which a number that is none equals itself.
        assert cells_of(case, found) in [cells_of(case, row) for row in right]


def cells_of(case: Case, row: Row) -> str:
    return repr([row[name] for name in case.features])


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
