"""Leaks that are planted in honest sets, and in the lakes and products that sets follow from."""

from __future__ import annotations

import math
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from tests.ml_tasks.prover.worlds import HOUR, START, Row, Table, World

if TYPE_CHECKING:
    from collections.abc import Callable

    Change = Callable[[World, Row, Row], Row]
    """From a flight and its row of the set to the cells that leak into the row."""

FEATURES = ("dest_mean", "dest_count", "craft_delay", "craft_arrival", "slot_planned", "slot_wind")
WHOLE = 1.0


def planted(world: World, share: float, change: Change) -> list[Row]:
    """Give the set with a leak in a share of the rows that it can change, at least in one."""
    rows = [{**row} for row in world.rows]
    for place in world.dice.sample(range(len(rows)), len(rows)):
        cells = change(world, world.asks[place], rows[place])
        if any(rows[place][name] != value for name, value in cells.items()):
            rows[place] |= cells
            if sum(a != b for a, b in zip(rows, world.rows, strict=True)) >= share * len(rows):
                break
    return rows


def _looked_up(**cuts: bool) -> Callable[[World], Change]:
    def draw(world: World) -> Change:
        table = world.dice.choice([*world.tables.values()])
        names = world.dice.sample([*table.features], world.dice.randint(1, len(table.features)))

        def change(_: World, ask: Row, __: Row) -> Row:
            found = table.look(ask, ask["asked_at"], **cuts)
            return {name: found[name] for name in names}

        return change

    return draw


def _later(world: World) -> Change:
    """A clock that is wrong: looked up as honestly as ever, but hours later."""
    table, late = world.dice.choice([*world.tables.values()]), world.dice.randint(1, 30) * HOUR
    return lambda _, ask, __: table.look(ask, ask["asked_at"] + late)


def _own(*names: str) -> Callable[[World], Change]:
    def draw(world: World) -> Change:
        into, name = world.dice.choice(FEATURES), world.dice.choice(names)
        by, plus = world.dice.choice([(1.0, 0.0), (1.0, 0.0), (-2.5, 7.0), (1 / 60, 0.0)])

        def change(_: World, ask: Row, row: Row) -> Row:
            value = row["label"] if name == "label" else ask["last"][name]
            return {into: None if value is None else by * _number(value) + plus}

        return change

    return draw


def _noisy(world: World) -> Change:
    into, noise = world.dice.choice(FEATURES), world.dice.uniform(0.05, 0.5)
    return lambda w, _, row: {into: row["label"] + w.dice.gauss(0, noise)}


def _other_key(world: World) -> Change:
    """What the flight's own landing wrote into the tables, found by craft, route or hour."""
    into = world.dice.choice(FEATURES)
    table = world.tables[world.dice.choice(["craft", "dest"])]
    name = world.dice.choice([*table.features])

    def change(_: World, ask: Row, __: Row) -> Row:
        return {into: table.look(ask, ask["last"]["landed_at"])[name]}

    return change


def _strangers_key(world: World) -> Change:
    """The features of somebody else."""
    table = world.dice.choice([*world.tables.values()])
    return lambda w, ask, __: table.look(w.dice.choice(w.asks), ask["asked_at"])


def _column_corrected_later(world: World) -> Change:
    return lambda _, ask, __: {"distance": ask["last"]["distance"]}


def _asked_late(world: World) -> Change:
    late = timedelta(minutes=world.dice.randint(5, 55))

    def change(w: World, ask: Row, _: Row) -> Row:
        row = w.row({**ask, "asked_at": ask["asked_at"] + late})
        return {**row, "asked_at": ask["asked_at"] + late}

    return change


def _late_label(world: World) -> Change:
    later = START + timedelta(days=9)

    def change(_: World, __: Row, row: Row) -> Row:
        return {"label_known_at": later} if row["split"] == "train" else {}

    return change


IN_THE_SET: dict[str, Callable[[World], Change]] = {
    "no cut": _looked_up(event_cut=False, known_cut=False),
    "no event cut": _looked_up(event_cut=False),
    "no known cut": _looked_up(known_cut=False),
    "a later moment": _later,
    "label": _own("label"),
    "noisy label": _noisy,
    "own departure delay": _own("departure_delay"),
    "own outcome": _own("arrival_delay", "air_time", "landed_at", "left_at"),
    "another key": _other_key,
    "a stranger's key": _strangers_key,
    "corrected column": _column_corrected_later,
    "asked late": _asked_late,
    "late label": _late_label,
}
"""What a join, or what calls it, can do wrong; by name."""


def in_a_table(world: World, value: Callable[[World, Row], float | None], share: float) -> None:
    """Plant a leak in a feature table from which the set then follows honestly."""
    table = Table(("number",), {"twin": pa.float64()}, None)
    chosen = set(world.dice.sample(range(len(world.asks)), max(1, round(share * len(world.asks)))))
    for place, ask in enumerate(world.asks):
        at = ask["asked_at"] - HOUR
        own = value(world, ask) if place in chosen else round(world.dice.gauss(10, 20), 3)
        table.add({"number": ask["number"], "event_time": at, "known_at": at, "twin": own})
    world.tables["twin"] = table
    world.rows = [row | table.look(ask, ask["asked_at"]) for row, ask in zip(
        world.rows, world.asks, strict=True)]  # fmt: skip


def _late(ask: Row) -> float:
    return float(ask["last"]["arrival_delay"] > 15)


IN_A_TABLE: dict[str, Callable[[World, Row], float | None]] = {
    "label": lambda _, ask: _late(ask),
    "affine label": lambda _, ask: 3 - 0.5 * _late(ask),
    "noisy label": lambda w, ask: _late(ask) + w.dice.gauss(0, 0.4),
    "label as presence": lambda _, ask: 1.0 if _late(ask) else None,
    "own departure delay": lambda _, ask: ask["last"]["departure_delay"],
    "arrival delay, bent": lambda _, ask: math.exp(ask["last"]["arrival_delay"] / 60),
    "air time in hours": lambda _, ask: ask["last"]["air_time"] / 60,
    "air time, bent": lambda _, ask: math.sqrt(ask["last"]["air_time"]),
    "landing in minutes": lambda _, ask: _number(ask["last"]["landed_at"]),
}
"""What a feature table can hold of the flight itself, stamped as known before; by name."""


def by_the_product(world: World, column: str) -> None:
    """Let the product declare as known what is not."""
    world.columns = (*world.columns, column)
    world.rows = [{**row, column: ask["last"][column]} for row, ask in zip(
        world.rows, world.asks, strict=True)]  # fmt: skip


def by_a_key(world: World) -> None:
    """Let the product look up the hour in which the flight left."""
    world.key_sql = {"slot": "strftime(left_at, '%Y-%m-%dT%H')"}
    table = world.tables["slot"]
    for ask, row in zip(world.asks, world.rows, strict=True):
        row |= table.look({"slot": f"{ask['last']['left_at']:%Y-%m-%dT%H}"}, ask["asked_at"])


def _number(value: Any) -> float:
    return float(value) if isinstance(value, (int, float)) else value.timestamp() / 60
