"""The prover on three real weeks, in which features were corrected late or known ahead."""

from __future__ import annotations

import random
import types
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from feature_repo import offline_store, point_in_time
from ml_tasks import assemble, prove
from ml_tasks.config import Environment, Pipeline
from ml_tasks.context import Context
from ml_tasks.gates import no_leak
from ml_tasks.gates.verdict import Leaks, Measured
from ml_tasks.io import labels, objects
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake
from ml_tasks.result import Result, Window

WEEKS = Window.parse("2013-01-01/2013-01-22")
ALL = Window.parse("2012-12-01/2013-02-28")
CUTS = 'pl.max_horizontal("event_time", "known_at")'


def with_corrections(rows: pl.DataFrame, table: str) -> pl.DataFrame:
    """Give a feature table some rows of which were known ahead, or corrected hours later."""
    dice = random.Random(table)  # noqa: S311 - a test's data
    drawn = rows.with_columns(pl.Series("_", [dice.random() for _ in range(rows.height)]))
    numbers = [n for n, kind in rows.schema.items() if kind.is_numeric() and n != "flight"]
    late = drawn.filter(pl.col("_") < 0.1).with_columns(
        pl.col("known_at") + timedelta(hours=5), *(pl.col(n) + 1 for n in numbers)
    )
    ahead = pl.when(pl.col("_") > 0.9).then(timedelta(hours=2)).otherwise(timedelta(0))
    known = drawn.with_columns(pl.col("known_at") - ahead)
    return pl.concat([known, late]).drop("_").sort("event_time", "known_at")


def with_swaps(rows: pl.DataFrame) -> pl.DataFrame:
    """Give raw flights of which every tenth gets another aircraft once it has landed."""
    swapped = rows.gather_every(10).with_columns(
        pl.col("tailnum").shift(1),
        pl.col("distance") + 100,
        corrected_at=pl.col("event_time") + timedelta(days=1),
    )
    return pl.concat([rows, swapped.with_columns(pl.max_horizontal("known_at", "corrected_at"))])


@pytest.fixture(scope="module")
def planted(lake_of_weeks: Environment, tmp_path_factory: pytest.TempPathFactory) -> Environment:
    environment = Environment(home=tmp_path_factory.mktemp("planted"))
    source, lake, control = Lake(lake_of_weeks), Lake(environment), Control(environment.control)
    control.migrate()
    for table in source.tables():
        rows = pl.DataFrame(pl.from_arrow(source.read(table)))
        if table.startswith("features."):
            rows = with_corrections(rows, table)
        if table == "raw.flights":
            rows = with_swaps(rows)
        with control.lease(table, holder="test/validate", attempt=1) as lease:
            lake.publish(table, rows.to_arrow(), ALL, lease)
    return environment


def assembled(pipeline: Pipeline, environment: Environment, run: str) -> tuple[Result, Leaks]:
    done: dict[str, Result] = {}
    for task in (assemble, prove):
        name = task.__name__.rpartition(".")[2]
        context = Context(
            task=name,
            pipeline=pipeline.name,
            run=run,
            attempt=1,
            environment=environment,
            window=WEEKS,
            inputs=dict(done),
        )
        done[name] = task.run(pipeline, context)
    uri = done["prove"].outputs["leaks"].uri
    assert uri is not None
    return done["assemble"], Leaks.model_validate_json(objects.read_bytes(uri))


def passes(leaks: Leaks) -> bool:
    measured = Measured(candidate="h", champion=None, metrics={}, leaks=leaks)
    return no_leak.judge(measured, no_leak.Params(ceiling=0.85)).passed


def test_the_join_is_proven(planted: Environment, flights: Pipeline) -> None:
    result, leaks = assembled(flights, planted, "whole")
    assert leaks.leaks == ()
    assert passes(leaks)
    assert leaks.set_hash == result.outputs["set"].content_hash
    assert leaks.rows == result.outputs["set"].rows
    assert leaks.cells == leaks.rows * len(leaks.strength) > 1_000_000
    assert max(leaks.strength.values()) < 0.8


@pytest.mark.parametrize(
    ("cut", "left", "kind"),
    [
        ("event time", 'pl.col("known_at")', "future row"),
        ("known at", 'pl.col("event_time")', "late correction"),
    ],
)
def test_without_either_cut_it_fails(
    planted: Environment,
    flights: Pipeline,
    monkeypatch: pytest.MonkeyPatch,
    cut: str,
    left: str,
    kind: str,
) -> None:
    text = Path(point_in_time.__file__).read_text()
    assert text.count(CUTS) == 1
    without: Any = types.ModuleType("without")
    exec(text.replace(CUTS, left), without.__dict__)  # noqa: S102 - the join, less one cut
    monkeypatch.setattr(offline_store, "join", without.join)
    _, leaks = assembled(flights, planted, f"without-{cut.split()[0]}")
    assert not passes(leaks)
    assert kind in {leak.kind for leak in leaks.leaks}
    assert len({leak.column for leak in leaks.leaks}) > 90


def test_who_looks_up_the_aircraft_that_flew_in_the_end_fails(
    planted: Environment, flights: Pipeline, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The aircraft was swapped after the question: its features are of the flight, but not yet."""

    def in_the_end(rows: pl.DataFrame, versions: pl.DataFrame, key: Any) -> pl.DataFrame:
        newest = versions.sort("corrected_at", nulls_last=False).unique(list(key), keep="last")
        own = [c for c in labels.ROW if c in rows.columns and c not in key]
        return rows.select(*key, *own).join(newest.drop(own, strict=False), on=list(key))

    monkeypatch.setattr(labels, "_as_asked", in_the_end)
    _, leaks = assembled(flights, planted, "in-the-end")
    assert not passes(leaks)
    of = {leak.column for leak in leaks.leaks}
    assert {"distance", "aircraft_last_delay", "rotation_spare"} <= of
    assert not any(name.startswith("weather") for name in of)
