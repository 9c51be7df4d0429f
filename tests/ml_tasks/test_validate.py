from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from ml_tasks import config, validate
from ml_tasks.config import ROOT, Environment, Pipeline, Source, Validation
from ml_tasks.context import Context
from ml_tasks.errors import ConfigError, RejectedError
from ml_tasks.io import objects, parquet
from ml_tasks.io.control import Control
from ml_tasks.io.expectations import check
from ml_tasks.io.lake import Lake
from ml_tasks.result import Output, Result, Window

FLIGHTS = config.load("flight_delays", ROOT / "ml_tasks" / "pipelines")
WEEK = Window.parse("2013-01-01/2013-01-08")
NO_REJECTED = pa.table({n: pa.array([], pa.string()) for n in ("uri", "reason", "row")})


def rows(*values: float | None) -> pa.Table:
    at = pa.array(
        [datetime(2013, 1, 2, tzinfo=UTC) + timedelta(hours=i) for i in range(len(values))],
        pa.timestamp("us", "UTC"),
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
    source = Source(
        kind="csv",
        params={"path": "in/*.csv"},
        key=("event_time",),
        event_time="event_time",
        known_at=("event_time",),
        columns={"event_time": "timestamp", "value": "float64?"},
    )
    validation = Validation(tolerated_bad_share=0.4, expectations={"s": (between,)})
    return FLIGHTS.model_copy(update={"sources": {"s": source}, "validation": validation})


def run(
    pipeline: Pipeline,
    environment: Environment,
    staged: pa.Table,
    rejected: pa.Table = NO_REJECTED,
    attempt: int = 1,
    read: int | None = None,
    name: str = "r",
) -> Result:
    outputs = {}
    for output, table in (("staged_s", staged), ("rejected_s", rejected)):
        uri = f"{environment.objects_root}/{output}.parquet"
        parquet.write(uri, table)
        outputs[output] = Output(uri=uri, content_hash="0")
    values = {} if read is None else {"s": {"read": read}}
    ingested = Result(task="ingest", pipeline="p", run=name, outputs=outputs, values=values)
    context = Context(
        task="validate",
        pipeline="p",
        run=name,
        attempt=attempt,
        environment=environment,
        window=WEEK,
        inputs={"ingest": ingested},
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


def test_bad_rows_that_come_again_with_good_ones_known_before(
    pipeline: Pipeline, environment: Environment
) -> None:
    """Of a window that comes again its bad rows alone are staged, and their share is of all."""
    run(pipeline, environment, rows(1, 99, 2))
    again = run(pipeline, environment, rows(1, 99, 2).slice(1, 1), read=3, name="again")
    assert again.values["s"] == {"published": 0, "quarantined": 1}
    lake = Lake(environment)
    assert lake.read("raw.s").num_rows == 2
    (kept,) = lake.read("quarantine.s").to_pylist()
    assert kept["run"] == "r"


def test_bad_rows_that_come_again_once_the_window_is_out_are_the_same_entries(
    pipeline: Pipeline, environment: Environment
) -> None:
    """By then they count as late: known when they landed."""
    for name, landed in (("r", None), ("again", datetime(2013, 1, 20, tzinfo=UTC))):
        known = pa.array([landed] * 3, pa.timestamp("us", "UTC"))
        staged = rows(1, 99, 2).append_column("known_at", known)
        run(pipeline, environment, staged.append_column("corrected_at", known), name=name)
    (kept,) = Lake(environment).read("quarantine.s").to_pylist()
    assert json.loads(kept["row"]) == {"event_time": "2013-01-02 01:00:00+00:00", "value": 99.0}


def test_what_is_out_is_called_so_with_rows_or_without(
    pipeline: Pipeline, environment: Environment
) -> None:
    control = Control(environment.control)
    with pytest.raises(RejectedError):
        run(pipeline, environment, rows(99), name="refused")
    assert control.publications("raw.s") == []
    for name in ("empty", "later"):
        run(pipeline, environment, rows(), name=name)
    assert Lake(environment).read("raw.s").num_rows == 0
    (window,) = control.publications("raw.s")
    assert (window.start[:10], window.end[:10], window.run) == ("2013-01-01", "2013-01-08", "empty")


def test_too_many_bad_rows_stop_the_run(pipeline: Pipeline, environment: Environment) -> None:
    with pytest.raises(RejectedError, match=r"2 of 3 rows are bad \(66.7%\), tolerated are 40.0%"):
        run(pipeline, environment, rows(99, 98, 1))
    lake = Lake(environment)
    assert lake.find("raw.s") is None
    assert lake.read("quarantine.s").num_rows == 2


def report(environment: Environment, attempt: int = 1) -> tuple[str, dict[str, Any]]:
    folder = f"{environment.objects_root}/runs/p/r/validate/{attempt}"
    told = json.loads(objects.read_text(f"{folder}/data_docs.json"))
    return objects.read_text(f"{folder}/data_docs.html"), told


def test_a_published_window_is_reported(pipeline: Pipeline, environment: Environment) -> None:
    rejected = pa.table({"uri": ["file:///x"], "reason": ["line is broken"], "row": ["?"]})
    staged = rows(1, 99, 2, 3, None)
    first = run(pipeline, environment, staged, rejected).outputs["data_docs"]
    html, told = report(environment)
    assert told["verdict"] == "published"
    assert told["counts"] == {"staged": 5, "published": 4, "quarantined": 2}
    finding = told["sections"][0]["findings"][0]
    assert (finding["unexpected"], finding["share"], finding["samples"]) == (1, 0.25, ["99.0"])
    assert "line is broken" in html
    again = run(pipeline, environment, staged, rejected, attempt=2).outputs["data_docs"]
    assert again.content_hash == first.content_hash
    assert again.uri != first.uri


def test_a_refused_window_is_reported_before_the_task_ends(
    pipeline: Pipeline, environment: Environment
) -> None:
    with pytest.raises(RejectedError, match=r"see file:.*/runs/p/r/validate/1/data_docs\.html"):
        run(pipeline, environment, rows(99, 98, 1))
    html, told = report(environment)
    assert told["verdict"] == "refused"
    assert told["counts"] == {"staged": 3, "published": 0, "quarantined": 2}
    why = "2 of 3 rows are bad (66.7%), tolerated are 40.0%; most often "
    assert f"{why}expect_column_values_to_be_between (2)" in html


def test_a_window_without_news_is_reported(pipeline: Pipeline, environment: Environment) -> None:
    run(pipeline, environment, rows())
    html, told = report(environment)
    assert told["verdict"] == "nothing new"
    assert "No new row was staged" in html


def test_findings_come_in_the_order_of_expectations() -> None:
    table = rows(5, *[None] * 299)
    expectations: list[dict[str, Any]] = [
        {"type": "expect_column_values_to_be_null", "column": "event_time"},
        {"type": "expect_table_columns_to_match_set", "column_set": ["event_time", "value"]},
        {"type": "expect_column_values_to_not_be_null", "column": "value"},
        {"type": "expect_column_values_to_not_be_null", "column": "value"},
        {"type": "expect_column_values_to_be_null", "column": "value", "mostly": 0.9},
    ]
    checked = check(table, expectations, "s")
    assert [(f.expectation, f.success, f.unexpected) for f in checked.findings] == [
        ("expect_column_values_to_be_null", False, 300),
        ("expect_table_columns_to_match_set", True, None),
        ("expect_column_values_to_not_be_null", False, 299),
        ("expect_column_values_to_be_null", True, 1),
    ]
    assert checked.findings[1].observed == "['event_time', 'value']"
    assert checked.findings[2].samples == ("missing",)
    assert checked.findings[3].arguments == {"column": "value", "mostly": 0.9}
    assert checked.findings[3].share == pytest.approx(1 / 300)
    assert [f.row for f in checked.faults] == [*range(300), *range(1, 300)]
    assert checked.faults[299].value == "2013-01-14 11:00:00+00:00"


def test_faults_of_several_columns_carry_their_values() -> None:
    table = pa.table({"a": [1, 2, 2], "b": ["x", "y", "y"]})
    wanted = {"type": "expect_compound_columns_to_be_unique", "column_list": ["a", "b"]}
    faults = check(table, [wanted], "s").faults
    assert [(f.row, f.value) for f in faults] == [(1, "(2, 'y')"), (2, "(2, 'y')")]


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
    faults = check(rows(5, 7), [mean], "s").faults
    good, entries = validate.split(
        rows(5, 7), NO_REJECTED, faults, {"source": "s", "window": "w", "run": "r"}
    )
    assert good.num_rows == 2
    why = validate.verdict(entries, 2, 1.0)
    assert why == "expect_column_mean_to_be_between on 'value': came 6.0"


COUNT = {"type": "expect_table_row_count_to_be_between", "min_value": 2, "max_value": 3}
MEAN = {"type": "expect_column_mean_to_be_between", "column": "value", "max_value": 10}


def expecting(pipeline: Pipeline, *expectations: dict[str, Any]) -> Pipeline:
    before = pipeline.sources["s"]
    columns = {**before.columns, "id": "int64"}
    source = before.model_copy(update={"key": ("id",), "columns": columns})
    found = (*pipeline.validation.expectations["s"], *expectations)
    validation = pipeline.validation.model_copy(update={"expectations": {"s": found}})
    return pipeline.model_copy(update={"sources": {"s": source}, "validation": validation})


def versions(*came: tuple[int, float, int | None]) -> pa.Table:
    """Rows by id, value and the day on which they were corrected."""
    days = [None if day is None else WEEK.start.replace(day=day) for _, _, day in came]
    at = pa.array(days, pa.timestamp("us", "UTC"))
    return rows(*[value for _, value, _ in came]).append_column(
        "id", pa.array([identity for identity, _, _ in came], pa.int64())
    ).append_column("corrected_at", at)  # fmt: skip


def test_a_table_is_judged_as_it_would_be_published(
    pipeline: Pipeline, environment: Environment
) -> None:
    """With what it had, each key once, and without the bad rows."""
    product = expecting(pipeline, COUNT)
    first = versions((1, 1, None), (2, 2, None), (3, 3, None), (4, 99, None))
    assert run(product, environment, first).values["s"]["published"] == 3
    assert run(product, environment, versions((1, 5, 9)), name="corrected").values["s"] == {
        "published": 1, "quarantined": 0
    }  # fmt: skip
    assert run(product, environment, versions(), name="nothing").values["unchanged"] is True
    with pytest.raises(RejectedError, match="expect_table_row_count_to_be_between on '': came 4"):
        run(product, environment, versions((5, 5, 9)), name="one more")


@pytest.mark.parametrize(
    ("wanted", "came"), [(COUNT, "on '': came 0"), (MEAN, "on 'value': came nothing")]
)
def test_a_window_without_rows_is_judged_as_a_table(
    pipeline: Pipeline, environment: Environment, wanted: dict[str, Any], came: str
) -> None:
    with pytest.raises(RejectedError, match=came):
        run(expecting(pipeline, wanted), environment, versions())
    assert Lake(environment).find("raw.s") is None
    _, told = report(environment)
    assert [f["success"] for f in told["sections"][0]["findings"]] == [False]


def test_a_file_that_cannot_be_read_refuses_the_window(
    pipeline: Pipeline, environment: Environment
) -> None:
    """However few rows it might have had, and however many came beside it."""
    fault = {"uri": ["file:///in/x.csv"], "reason": ["file cannot be read: broken"], "row": [""]}
    good = rows(*range(1, 10))
    with pytest.raises(RejectedError, match=r"file:///in/x.csv: file cannot be read: broken; del"):
        run(pipeline, environment, good, pa.table(fault))
    lake = Lake(environment)
    assert lake.find("raw.s") is None
    (kept,) = lake.read("quarantine.s").to_pylist()
    assert (kept["uri"], kept["row"]) == ("file:///in/x.csv", "")
    html, told = report(environment)
    assert told["verdict"] == "refused"
    assert "file cannot be read: broken" in html


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
        (
            {"type": "expect_column_mean_to_be_between", "column": "event_time", "min_value": "x"},
            "s: expect_column_mean_to_be_between: ",
        ),
        (
            {
                "type": "expect_column_pair_values_a_to_be_greater_than_b",
                "column_A": "value",
                "column_B": "x",
            },
            'column "x" in BatchData does not exist',
        ),
    ],
)
def test_a_wrong_expectation_is_one_line(wanted: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message) as caught:
        check(rows(1), [wanted], "s")
    assert "\n" not in str(caught.value)
