from __future__ import annotations

import json
from datetime import datetime, timedelta

import polars as pl
import pyarrow as pa
import pytest

from ml_tasks import assemble, ingest
from ml_tasks.config import Environment, Label, Pipeline, Split
from ml_tasks.context import Context
from ml_tasks.errors import ConfigError, RejectedError
from ml_tasks.io import objects, parquet
from ml_tasks.io.engine import evaluate
from ml_tasks.io.lake import Lake
from ml_tasks.prover import facts
from ml_tasks.result import Result, Window

WEEKS = Window.parse("2013-01-01/2013-01-22")


def run(pipeline: Pipeline, environment: Environment, window: Window = WEEKS) -> Result:
    context = Context(
        task="assemble",
        pipeline=pipeline.name,
        run="train",
        attempt=1,
        environment=environment,
        window=window,
    )
    return assemble.run(pipeline, context)


@pytest.fixture(scope="module")
def made(lake_of_weeks: Environment, flights: Pipeline) -> Result:
    return run(flights, lake_of_weeks)


@pytest.fixture(scope="module")
def rows(made: Result) -> pl.DataFrame:
    uri = made.outputs["set"].uri
    assert uri is not None
    return pl.DataFrame(pl.from_arrow(parquet.read(uri)))


def test_the_parts_follow_each_other(rows: pl.DataFrame, flights: Pipeline) -> None:
    parts = rows.group_by("split").agg(
        first=pl.col("event_time").min(),
        last=pl.col("event_time").max(),
        known=pl.col("label_known_at").max(),
    )
    by = {row["split"]: row for row in parts.iter_rows(named=True)}
    assert by["train"]["known"] < by["validation"]["first"] - timedelta(hours=12)
    assert by["validation"]["known"] < by["test"]["first"]
    assert by["test"]["last"] < WEEKS.end
    assert by["test"]["first"] >= WEEKS.end - timedelta(days=flights.split.test_days)


def test_each_flight_that_landed_is_there_once(
    rows: pl.DataFrame, lake_of_weeks: Environment, flights: Pipeline
) -> None:
    raw = pl.DataFrame(pl.from_arrow(Lake(lake_of_weeks).read("raw.flights")))
    landed = raw.filter(pl.col("landed_at") <= WEEKS.end)
    assert rows.height == landed.height
    key = list(flights.sources["flights"].key)
    both = rows.join(landed, on=key, validate="1:1")
    assert (both["label"] == (both["arrival_delay"] > 15).cast(pl.Float64)).all()
    assert (both["asked_at"] == both["event_time"] - timedelta(hours=1)).all()


def test_features_were_known_when_asked(
    rows: pl.DataFrame, lake_of_weeks: Environment, flights: Pipeline
) -> None:
    """The weather and the last landing, against a plain look-up in the lake."""
    lake = Lake(lake_of_weeks)
    weather = pl.DataFrame(pl.from_arrow(lake.read("features.weather"))).rows(named=True)
    aircraft = pl.DataFrame(pl.from_arrow(lake.read("features.aircraft"))).rows(named=True)
    key = list(flights.sources["flights"].key)
    raw = pl.DataFrame(pl.from_arrow(lake.read("raw.flights"))).select(*key, "tailnum")
    for row in rows.sample(25, seed=1).join(raw, on=key).iter_rows(named=True):
        seen = [
            w
            for w in weather
            if w["origin"] == row["origin"]
            and row["asked_at"] - timedelta(hours=6) <= w["event_time"] <= row["asked_at"]
        ]
        newest = max(seen, key=lambda w: w["event_time"], default={"weather_temp": None})
        assert row["weather_temp"] == newest["weather_temp"]
        own = [
            a
            for a in aircraft
            if a["tailnum"] == row["tailnum"]
            and row["asked_at"] - timedelta(days=3) <= a["event_time"] <= row["asked_at"]
        ]
        last = max(own, key=lambda a: a["event_time"], default={"aircraft_last_delay": None})
        assert row["aircraft_last_delay"] == last["aircraft_last_delay"]


def test_nothing_of_the_flight_itself_is_a_feature(made: Result) -> None:
    uri = made.outputs["description"].uri
    assert uri is not None
    description = json.loads(objects.read_text(uri))
    names = {*description["numeric"], *description["categorical"]}
    assert not names & {"departure_delay", "arrival_delay", "air_time", "landed_at", "departed_at"}
    assert description["categorical"] == ["carrier", "origin", "dest"]
    assert len(description["numeric"]) > 90
    assert description["rows"] == made.values["rows"]


def test_the_same_snapshots_give_the_same_set_and_are_tagged(
    made: Result, lake_of_weeks: Environment, flights: Pipeline
) -> None:
    again = run(flights, lake_of_weeks)
    for name in ("set", "description"):
        assert again.outputs[name].content_hash == made.outputs[name].content_hash
    one, two = (r.outputs["set"].uri for r in (made, again))
    assert one is not None
    assert two is not None
    assert objects.read_bytes(one) == objects.read_bytes(two)
    lake = Lake(lake_of_weeks)
    tag = made.values["tag"]
    for table, snapshot in made.values["snapshots"].items():
        assert lake.catalog.load_table(table).refs()[tag].snapshot_id == snapshot
    folder = one.rpartition("/")[0]
    assert json.loads(objects.read_text(f"{folder}/tag.json")) == {"tag": tag}


def at(day: float) -> datetime:
    return WEEKS.start + timedelta(days=day)


def versions(pipeline: Pipeline, *changes: dict[str, object]) -> pa.Table:
    """A flight at noon of the second day, as it was and as each landing changed it."""
    flight: dict[str, object] = {
        "carrier": "UA", "flight": 1, "tailnum": "N1", "origin": "EWR", "dest": "IAH",
        "distance": 1400, "scheduled_departure": at(1.5), "scheduled_arrival": at(1.75),
        "departed_at": at(1.5), "landed_at": at(1.75), "departure_delay": 0, "arrival_delay": 0,
        "air_time": 120, "event_time": at(1.5), "known_at": at(1.75), "corrected_at": None,
    }  # fmt: skip
    schema = ingest.raw_schema(pipeline.sources["flights"])
    return pa.Table.from_pylist([{**flight, **change} for change in changes], schema)


LATER = {"tailnum": "N2", "arrival_delay": 60, "corrected_at": at(3), "known_at": at(3)}
BEFORE = {"tailnum": "N3", "corrected_at": at(1.2), "known_at": at(1.75)}
WRONG = {"landed_at": at(9), "known_at": at(9), "arrival_delay": 99}


@pytest.mark.parametrize(
    ("changes", "tailnum", "label", "known"),
    [
        ([{}], "N1", 0, at(1.75)),
        ([{}, LATER], "N1", 1, at(3)),
        ([{}, BEFORE, LATER], "N3", 1, at(3)),
        ([{}, BEFORE | {"corrected_at": at(1.5) - timedelta(hours=1)}], "N3", 0, at(1.75)),
        ([LATER], "N2", 1, at(3)),
        ([LATER, {"tailnum": "N4", "corrected_at": at(5)}], "N2", 0, at(5)),
        ([WRONG, {"corrected_at": at(3)}], "N1", 0, at(3)),
    ],
    ids=[
        "once",
        "swapped after",
        "swapped before",
        "swapped just then",
        "first comes late",
        "twice late",
        "was wrong",
    ],
)
def test_the_label_is_as_known_in_the_end_and_all_else_as_when_asked(
    flights: Pipeline, changes: list[dict[str, object]], tailnum: str, label: int, known: datetime
) -> None:
    """Who was not known at all when asked is as it first came."""
    raw = versions(flights, *changes)
    for table in (raw, raw.take(list(range(raw.num_rows))[::-1])):
        (row,) = assemble.labelled(table, flights, WEEKS.end).rows(named=True)
        assert (row["tailnum"], row["label"], row["label_known_at"]) == (tailnum, label, known)
        assert row["asked_at"] == at(1.5) - timedelta(hours=1)
        made = pa.Table.from_pylist([row])
        (claimed,) = facts.asked(made, table, flights, ("tailnum",)).to_pylist()
        assert claimed["tailnum"] == tailnum


def test_too_short_a_window(lake_of_weeks: Environment, flights: Pipeline) -> None:
    with pytest.raises(RejectedError, match="nothing is left to train on; ingest more"):
        run(flights, lake_of_weeks, Window.parse("2013-01-15/2013-01-22"))


def test_labels_that_are_all_the_same(lake_of_weeks: Environment, flights: Pipeline) -> None:
    label = Label.model_validate({**flights.label.model_dump(), "expression": "1"})
    with pytest.raises(RejectedError, match=r"part 'train' .* 1 different labels \(1\), wanted"):
        run(flights.model_copy(update={"label": label}), lake_of_weeks)


def test_an_expression_that_is_wrong() -> None:
    table = pl.DataFrame({"a": [1]}).to_arrow()
    with pytest.raises(ConfigError, match=r"expression label: came 'b > 1': Binder Error"):
        evaluate(table, {"label": "b > 1"})
    assert evaluate(table, {"x": "a + 1"}).to_pydict() == {"x": [2]}


def test_ranges() -> None:
    split = Split(validation_days=3, test_days=4, gap_days=1)
    parts = assemble.ranges(Window.parse("2013-01-01/2013-01-22"), split)
    assert {name: str(part) for name, part in parts.items()} == {
        "train": "2013-01-01/2013-01-13",
        "validation": "2013-01-14/2013-01-17",
        "test": "2013-01-18/2013-01-22",
    }


def test_a_window_that_leaves_a_day_to_train_on_and_one_that_leaves_none() -> None:
    split = Split(validation_days=3, test_days=4, gap_days=1)
    parts = assemble.ranges(Window.parse("2013-01-12/2013-01-22"), split)
    assert str(parts["train"]) == "2013-01-12/2013-01-13"
    with pytest.raises(RejectedError, match="nothing is left to train on"):
        assemble.ranges(Window.parse("2013-01-13/2013-01-22"), split)


PARTS = {
    "train": Window.parse("2013-01-01/2013-01-13"),
    "validation": Window.parse("2013-01-14/2013-01-17"),
    "test": Window.parse("2013-01-18/2013-01-22"),
}


@pytest.mark.parametrize(
    ("event", "known", "part"),
    [
        (0, 1, "train"),
        (11.99, 12.9, "train"),
        (11.99, 13, "gap"),
        (12, 12.1, "gap"),
        (13, 13.1, "validation"),
        (16, 16.1, "gap"),
        (17, 21.5, "test"),
        (20.99, 500, "test"),
        (21, 21.1, "gap"),
    ],
)
def test_a_row_belongs_to_the_part_that_it_lies_in_if_its_label_was_known_by_the_next(
    event: float, known: float, part: str
) -> None:
    rows = pl.DataFrame({"event_time": [at(event)], "label_known_at": [at(known)]})
    assert assemble.divided(rows, PARTS)["split"].to_list() == [part]


@pytest.mark.parametrize("wrong", ["train", "validation", "test"])
@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([1.0, 1.0, 1.0], "came 3 rows with 1 different labels"),
        ([0.0, 1.0, float("inf")], "came 1 labels that are no finite numbers"),
        ([0.0, float("nan"), float("inf")], "came 2 labels that are no finite numbers"),
        ([0.0, 1.0, 2.0], r"came labels \[0.0, 1.0, 2.0\] .*, wanted 0 and 1"),
    ],
    ids=["all the same", "infinite", "not a number", "no class"],
)
def test_the_part_whose_labels_are_wrong_is_named(
    flights: Pipeline, wrong: str, labels: list[float], said: str
) -> None:
    of = {part: [0.0, 0.0, 1.0] for part in PARTS} | {wrong: labels}
    pairs = [(part, label) for part in of for label in of[part]]
    rows = pl.DataFrame(pairs, schema=["split", "label"], orient="row")
    with pytest.raises(RejectedError, match=f"part '{wrong}' of the set: {said}"):
        assemble.check(rows, flights)
