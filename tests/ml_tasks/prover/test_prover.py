"""The prover against leaks that are planted at random, and against honest sets."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from ml_tasks.prover import facts, known
from tests.ml_tasks.prover.leaks import (
    IN_A_TABLE,
    IN_THE_SET,
    by_a_key,
    by_the_product,
    in_a_table,
    planted,
)
from tests.ml_tasks.prover.worlds import World

WORLDS = 200
SMALL = 0.01
SHARES = (SMALL, 0.02, 0.1, 0.5, 1.0)


def test_no_alarm_on_honest_sets() -> None:
    alarms = {}
    for seed in range(WORLDS):
        world = World(seed)
        judgement = world.judged(world.rows)
        if not judgement.passed:
            alarms[seed] = judgement.evidence
    assert alarms == {}


def test_leaks_of_the_join_are_caught() -> None:
    """Every kind in every share of rows, drawn by seed.

    At most one of a hundred may slip by: of all leaks, and of those alone that touch 1 % of rows.
    """
    tried, missed, kinds = Counter[float](), Counter[tuple[float, str]](), [*IN_THE_SET]
    for seed in range(WORLDS):
        world = World(10_000 + seed)
        kind = kinds[seed % len(kinds)]
        share = SHARES[seed // len(kinds) % len(SHARES)]
        rows = planted(world, share, IN_THE_SET[kind](world))
        assert rows != world.rows
        tried[share] += 1
        missed[share, kind] += world.judged(rows).passed
    assert missed.total() <= WORLDS / 100, +missed
    small = sum(number for (share, _), number in missed.items() if share == SMALL)
    assert small <= tried[SMALL] / 100, f"{small} of {tried[SMALL]} in {SMALL:.0%}: {+missed}"


def test_each_table_has_rows_that_only_the_event_cut_hides() -> None:
    world = World(70_000)
    for table in world.tables.values():
        assert any(
            table.look(ask, ask["asked_at"]) != table.look(ask, ask["asked_at"], event_cut=False)
            for ask in world.asks
        )


@pytest.mark.parametrize("kind", IN_A_TABLE)
def test_a_feature_table_that_holds_the_flight_itself(kind: str) -> None:
    """The set follows from the lake, and the lake leaks: only what the column tells shows it."""
    for seed in range(5):
        world = World(20_000 + seed)
        in_a_table(world, IN_A_TABLE[kind], 1.0)
        judgement = world.judged(world.rows)
        assert not judgement.passed
        assert judgement.evidence.startswith("twin: ")


@pytest.mark.parametrize("column", ["departure_delay", "arrival_delay", "air_time"])
def test_a_product_that_declares_an_outcome(column: str) -> None:
    world = World(30_000)
    by_the_product(world, column)
    judgement = world.judged(world.rows)
    assert not judgement.passed
    assert judgement.evidence.startswith(f"{column}: ")


def test_a_product_whose_key_is_an_outcome() -> None:
    world = World(40_000)
    by_a_key(world)
    judgement = world.judged(world.rows)
    assert "slot_planned: not as known then" in judgement.evidence


def test_a_column_from_nowhere() -> None:
    world = World(50_000)
    rows = [{**row, "guess": 1.0} for row in world.rows]
    judgement = world.judged(rows, extra=("guess",))
    assert judgement.evidence.startswith("guess: no origin")


def test_the_evidence_names_the_leak() -> None:
    world = World(60_000)
    rows = [{**row} for row in world.rows]
    place = next(i for i, a in enumerate(world.asks) if rows[i]["craft_delay"] is not None)
    table, ask = world.tables["craft"], world.asks[place]
    found = table.look(ask, ask["asked_at"], event_cut=False, known_cut=False)
    rows[place]["craft_delay"] = found["craft_delay"]
    (leak,) = world.proven(rows).leaks
    assert (leak.column, leak.kind, leak.rows) == ("craft_delay", "last row of all", 1)
    was = world.rows[place]["craft_delay"]
    assert leak.evidence.endswith(
        f"row {place}, asked {ask['asked_at']:%Y-%m-%d %H:%M}: came {found['craft_delay']}, "
        f"known was {was}"
    )


@pytest.mark.parametrize("year", [1965, 1975])
def test_versions_of_any_year_are_told_apart(year: int) -> None:
    """Times before 1970 are negative numbers."""
    day = datetime(year, 1, 1, tzinfo=UTC)
    raw = pa.table(
        {
            "id": [1, 1],
            "value": ["first", "corrected"],
            "corrected_at": pa.array([None, day], pa.timestamp("us", "UTC")),
        }
    )
    around = [day + timedelta(days=1), day - timedelta(days=1)]
    asked = pa.array(around, pa.timestamp("us", "UTC"))
    made = pa.table({"id": [1, 1]})
    found = facts._version(made, raw, ("id",), known.micros(pa.chunked_array([asked])))
    assert found["value"].to_pylist() == ["corrected", "first"]
