"""Small random lakes and the sets that follow from them, by plain loops."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa

from ml_tasks import config, prover
from ml_tasks.config import ROOT, Pipeline
from ml_tasks.gates import no_leak
from ml_tasks.gates.verdict import Judgement, Leaks, Measured
from ml_tasks.io.engine import evaluate

Row = dict[str, Any]
EXAMPLE = config.load("flight_delays", ROOT / "ml_tasks" / "pipelines").model_dump()
START = datetime(2024, 3, 1, tzinfo=UTC)
DAYS = 12
CUT = START + timedelta(days=DAYS)
HOUR = timedelta(hours=1)
TIME = pa.timestamp("us", "UTC")
OUTCOMES = ("left_at", "landed_at", "departure_delay", "arrival_delay", "air_time")
INPUTS = ("line", "number", "dest", "craft", "slot", "planned", "minutes")
COLUMNS = {
    "line": "string", "number": "int64", "dest": "string", "craft": "string?", "distance": "int64",
    "minutes": "int64", "planned": "timestamp", "left_at": "timestamp?", "landed_at": "timestamp?",
    "departure_delay": "int64?", "arrival_delay": "int64?", "air_time": "int64?",
}  # fmt: skip
TYPES = {"string": pa.string(), "int64": pa.int64(), "timestamp": TIME}


@dataclass
class Table:
    """A feature table."""

    keys: tuple[str, ...]
    features: dict[str, pa.DataType]
    ttl: timedelta | None
    rows: list[Row] = field(default_factory=list)
    by_key: dict[tuple[Any, ...], list[Row]] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        self.rows.append(row)
        self.by_key.setdefault(tuple(row[k] for k in self.keys), []).append(row)

    def look(
        self, ask: Row, at: datetime, *, event_cut: bool = True, known_cut: bool = True
    ) -> Row:
        """Give what is found of a row at a moment; a join without a cut finds more."""
        own = [
            r
            for r in self.by_key.get(tuple(ask[k] for k in self.keys), ())
            if (not event_cut or r["event_time"] <= at) and (not known_cut or r["known_at"] <= at)
        ]
        newest = max(own, key=lambda r: (r["event_time"], r["known_at"]), default={})
        old = not newest or (self.ttl is not None and newest["event_time"] < at - self.ttl)
        return {name: None if old else newest[name] for name in self.features}


class World:
    """A random lake of flights, and an honest set."""

    def __init__(self, seed: int) -> None:
        self.dice = random.Random(seed)  # noqa: S311 - a test's data
        self.columns: tuple[str, ...] = ("line", "dest", "distance")
        self.key_sql = {"slot": "strftime(planned, '%Y-%m-%dT%H')"}
        self.raw = [v for i in range(self.dice.randint(250, 350)) for v in self.versions(i)]
        hour, day = HOUR, 24 * HOUR
        number, count = pa.float64(), pa.int64()
        self.tables = {
            "dest": Table(("line", "dest"), {"dest_mean": number, "dest_count": count}, 9 * hour),
            "craft": Table(("craft",), {"craft_delay": count, "craft_arrival": count}, 2 * day),
            "slot": Table(("slot",), {"slot_planned": count, "slot_wind": number}, None),
        }
        self.fill()
        self.asks = self.asked()
        self.rows = [self.row(ask) for ask in self.asks]

    def versions(self, number: int) -> list[Row]:
        dice = self.dice
        planned = START + timedelta(days=2, minutes=dice.randint(0, (DAYS - 3) * 1440))
        delay = int(dice.expovariate(1 / 25)) - 8
        flown, minutes = dice.randint(60, 300), dice.randint(60, 300)
        arrival = delay + dice.randint(-6, 6)
        first = {
            "line": dice.choice("AB"), "number": number, "dest": dice.choice("XYZ"),
            "craft": dice.choice([*"stuvwxyz", None]), "distance": flown * 7, "minutes": minutes,
            "planned": planned, "left_at": planned + timedelta(minutes=delay),
            "landed_at": planned + timedelta(minutes=minutes + arrival, microseconds=number),
            "departure_delay": delay, "arrival_delay": arrival,
            "air_time": flown + dice.randint(-20, 20), "corrected_at": None,
        }  # fmt: skip
        if dice.random() < 0.12:
            first |= dict.fromkeys(OUTCOMES)
        later = {**first, "distance": first["distance"] + 1, "craft": dice.choice("stuvwxyz")}
        at = planned + timedelta(hours=dice.choice([-20, -5, 3, 30]))
        more = [{**later, "corrected_at": at}] * (dice.random() < 0.15)
        return [{**r, "event_time": planned, "known_at": planned} for r in (first, *more)]

    def fill(self) -> None:
        """Fill the tables: most rows known at once, some late, some ahead, some corrected."""
        dice = self.dice
        for step in range(DAYS * 8):
            for line in "AB":
                for dest in "XYZ":
                    at = START + timedelta(hours=3 * step, minutes=dice.randint(0, 59))
                    key = {"line": line, "dest": dest}
                    values = {"dest_mean": dice.gauss(9, 20), "dest_count": dice.randint(0, 40)}
                    self.add("dest", key, at, values, ahead=4)
        for flight in self.raw:
            if flight["craft"] and flight["landed_at"] and not flight["corrected_at"]:
                moment = int(flight["landed_at"].timestamp()) // 60
                values = {"craft_delay": flight["arrival_delay"], "craft_arrival": moment}
                self.add("craft", {"craft": flight["craft"]}, flight["landed_at"], values, ahead=6)
        for hour in range(DAYS * 24):
            at = START + timedelta(hours=hour)
            key = {"slot": f"{at:%Y-%m-%dT%H}"}
            wind = {"slot_planned": dice.randint(0, 9), "slot_wind": dice.gauss(10, 4)}
            self.add("slot", key, at - 24 * HOUR, wind)
            self.add("slot", key, at + HOUR / 2, {**wind, "slot_wind": dice.gauss(10, 4)}, ahead=5)

    def add(self, table: str, key: Row, at: datetime, values: Row, ahead: int = 0) -> None:
        dice, add = self.dice, self.tables[table].add
        late = timedelta(minutes=dice.choice([0, 0, 0, 0, 200]) - dice.choice([0, ahead * 60]))
        add({**key, "event_time": at, "known_at": at + late, **values})
        if dice.random() < 0.2:
            known = at + timedelta(minutes=dice.randint(210, 2000))
            changed = {n: v + 1 + dice.randint(0, 30) for n, v in values.items()}
            add({**key, "event_time": at, "known_at": known, **changed})

    def asked(self) -> list[Row]:
        """Give each labelled flight as it was known an hour before, with what came of it."""
        rows = []
        for number in sorted({v["number"] for v in self.raw}):
            own = [v for v in self.raw if v["number"] == number]
            at = own[0]["planned"] - HOUR
            then = [v for v in own if v["corrected_at"] is None or v["corrected_at"] <= at][-1]
            if own[-1]["landed_at"] and own[-1]["landed_at"] <= CUT:
                slot = f"{then['planned']:%Y-%m-%dT%H}"
                rows.append({**then, "asked_at": at, "slot": slot, "last": own[-1]})
        return sorted(rows, key=lambda r: (r["planned"], r["number"]))

    def row(self, ask: Row, **cuts: bool) -> Row:
        """Give a row of the set."""
        part = "train" if ask["planned"] < START + timedelta(days=8) else "test"
        last = ask["last"]
        row = {name: ask[name] for name in ("line", "number", *self.columns)} | {
            "event_time": ask["planned"], "asked_at": ask["asked_at"], "split": part,
            "label": float(last["arrival_delay"] > 15), "label_known_at": last["landed_at"],
        }  # fmt: skip
        if part == "train" and last["landed_at"] >= START + timedelta(days=8):
            row["split"] = "gap"
        for table in self.tables.values():
            row |= table.look(ask, ask["asked_at"], **cuts)
        slack = None if row["craft_arrival"] is None else self.slack(ask, row["craft_arrival"])
        return {**row, "slack": slack}

    @staticmethod
    def slack(ask: Row, arrival: int) -> float:
        """Give a feature that is made on request: minutes from the craft's arrival."""
        return float(int(ask["planned"].timestamp()) // 60 - arrival)

    @property
    def pipeline(self) -> Pipeline:
        """A product on this lake."""
        source = {
            "kind": "csv", "key": ("line", "number"), "event_time": "planned",
            "known_at": ("planned", "left_at", "landed_at"), "columns": COLUMNS,
        }  # fmt: skip
        given = {**EXAMPLE["features"], "columns": self.columns, "keys": self.key_sql}
        changed = {
            "sources": {"flights": source},
            "features": given,
            "validation": {"tolerated_bad_share": 0},
        }
        return Pipeline.model_validate(EXAMPLE | changed)

    def proven(self, rows: list[Row], *, extra: tuple[str, ...] = ()) -> Leaks:
        """Give what the prover says to a set."""
        pipeline, made = self.pipeline, self.set_of(rows, extra)
        kinds = {n: TYPES[k.removesuffix("?")] for n, k in COLUMNS.items()}
        times = dict.fromkeys(("event_time", "known_at", "corrected_at"), TIME)
        raw = pa.Table.from_pylist(self.raw, pa.schema(kinds | times))
        subject = prover.subject(
            made,
            "h",
            raw,
            pipeline,
            inputs=INPUTS,
            keys=lambda asked: evaluate(asked, self.key_sql),
            cut=CUT,
        )
        return prover.prove(subject, [self.view(n) for n in self.tables], self.request())

    def judged(self, rows: list[Row], *, extra: tuple[str, ...] = ()) -> Judgement:
        """Give what the gate says to a set."""
        proof = self.proven(rows, extra=extra)
        measured = Measured(candidate="h", champion=None, metrics={}, leaks=proof)
        return no_leak.judge(measured, no_leak.Params(ceiling=0.85))

    def set_of(self, rows: list[Row], extra: tuple[str, ...]) -> pa.Table:
        kinds = {n: TYPES[COLUMNS[n].removesuffix("?")] for n in ("line", "number", *self.columns)}
        times = dict.fromkeys(("event_time", "asked_at", "label_known_at"), TIME)
        features = {n: k for t in self.tables.values() for n, k in t.features.items()}
        # A feature whose cells came from elsewhere may have got another type on the way.
        floats = dict.fromkeys([*features, "label", "slack", *extra], pa.float64())
        return pa.Table.from_pylist(
            rows, pa.schema(kinds | times | {"split": pa.string()} | floats)
        )

    def view(self, name: str) -> prover.View:
        table = self.tables[name]
        keys = {k: pa.int64() if k == "number" else pa.string() for k in table.keys}
        times = {"event_time": TIME, "known_at": TIME}
        rows = self.dice.sample(table.rows, len(table.rows))
        return prover.View(
            name=name,
            keys=table.keys,
            features=tuple(table.features),
            ttl=table.ttl,
            rows=pa.Table.from_pylist(rows, pa.schema(keys | times | table.features)),
        )

    def request(self) -> prover.OnRequest:
        def compute(told: pa.Table) -> pa.Table:
            slack = [
                None if arrival is None else self.slack({"planned": planned}, arrival)
                for arrival, planned in zip(
                    told["craft_arrival"].to_pylist(), told["planned"].to_pylist(), strict=True
                )
            ]
            return pa.table({"slack": pa.chunked_array([slack], pa.float64())})

        return prover.OnRequest(features=("slack",), needs=("craft_arrival",), compute=compute)
