from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from ml_tasks import config, validate
from ml_tasks.config import ROOT, Environment, Pipeline, Validation
from ml_tasks.context import Context
from ml_tasks.errors import ConfigError, RejectedError
from ml_tasks.io import objects
from ml_tasks.io.expectations import check
from ml_tasks.io.lake import Lake
from ml_tasks.result import Output, Result, Window

FLIGHTS = config.load("flight_delays", ROOT / "ml_tasks" / "pipelines")
WEEK = Window.parse("2013-01-01/2013-01-08")
NO_REJECTED = pa.table({n: pa.array([], pa.string()) for n in ("uri", "reason", "row")})


def rows(*values: float | None) -> pa.Table:
    at = pa.array(
        [datetime(2013, 1, 2, i, tzinfo=UTC) for i in range(len(values))], pa.timestamp("us", "UTC")
    )
    return pa.table({"event_time": at, "value": pa.array(values, pa.float64())})


@pytest.fixture
def pipeline() -> Pipeline:
    between = {
        "type": "expect_column_values_to_be_between",
        "column": "value",
        "min_value": 0,
        "max_value": 10,
    }
    source = FLIGHTS.sources["weather"]
    validation = Validation(tolerated_bad_share=0.4, expectations={"s": (between,)})
    return FLIGHTS.model_copy(update={"sources": {"s": source}, "validation": validation})


def run(
    pipeline: Pipeline, environment: Environment, staged: pa.Table, rejected: pa.Table = NO_REJECTED
) -> Result:
    outputs = {}
    for name, table in (("staged_s", staged), ("rejected_s", rejected)):
        uri = f"{environment.objects_root}/{name}.parquet"
        objects.write_parquet(uri, table)
        outputs[name] = Output(uri=uri, content_hash="0")
    context = Context(
        task="validate",
        pipeline="p",
        run="r",
        attempt=1,
        environment=environment,
        window=WEEK,
        inputs={"ingest": Result(task="ingest", pipeline="p", run="r", outputs=outputs)},
    )
    return validate.run(pipeline, context)


def test_good_rows_flow_and_bad_rows_are_kept(pipeline: Pipeline, environment: Environment) -> None:
    rejected = pa.table({"uri": ["file:///x"], "reason": ["line is broken"], "row": ["?"]})
    result = run(pipeline, environment, rows(1, 99, 2, 3, None), rejected)
    lake = Lake(environment)
    assert lake.read("raw.s")["value"].to_pylist() == [1, 2, 3, None]
    kept = lake.read("quarantine.s").to_pylist()
    assert [(k["reason"], k["column"], k["value"]) for k in kept] == [
        ("line is broken", "", ""),
        ("expect_column_values_to_be_between", "value", "99.0"),
    ]
    assert kept[1]["run"] == "r"
    assert kept[1]["window"] == str(WEEK)
    assert result.values["s"] == {"published": 4, "quarantined": 2}
    again = run(pipeline, environment, rows(1, 99, 2, 3, None), rejected)
    assert again.outputs["raw_s"].content_hash == result.outputs["raw_s"].content_hash
    assert lake.read("quarantine.s").num_rows == 2


def test_too_many_bad_rows_stop_the_run(pipeline: Pipeline, environment: Environment) -> None:
    with pytest.raises(RejectedError, match=r"2 of 3 rows are bad \(66.7%\), tolerated are 40.0%"):
        run(pipeline, environment, rows(99, 98, 1))
    lake = Lake(environment)
    assert not lake.exists("raw.s")
    assert lake.read("quarantine.s").num_rows == 2


def test_additions_join_what_the_window_had(pipeline: Pipeline, environment: Environment) -> None:
    run(pipeline, environment, rows(1))
    run(pipeline, environment, rows(2))
    assert sorted(Lake(environment).read("raw.s")["value"].to_pylist()) == [1, 2]
    assert run(pipeline, environment, rows()).values["unchanged"] is True


def test_a_fault_of_the_whole_table_refuses_the_window() -> None:
    mean = {
        "type": "expect_column_mean_to_be_between",
        "column": "value",
        "min_value": 0,
        "max_value": 1,
    }
    faults = check(rows(5, 7), [mean], "s")
    good, entries = validate.split(
        rows(5, 7), NO_REJECTED, faults, {"source": "s", "window": "w", "run": "r"}
    )
    assert good.num_rows == 2
    why = validate.verdict(entries, 2, 1.0)
    assert why == "expect_column_mean_to_be_between on 'value': came 6.0"


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"type": "expect_the_best"}, "s: came type 'expect_the_best', wanted one of"),
        (
            {"type": "expect_column_values_to_not_be_null", "column": "x"},
            "came column 'x', wanted one of",
        ),
        (
            {"type": "expect_column_values_to_not_be_null", "column": "value", "mostly": 7},
            "mostly: ",
        ),
    ],
)
def test_a_wrong_expectation_is_one_line(wanted: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check(rows(1), [wanted], "s")
    assert "\n" not in str(caught.value)
