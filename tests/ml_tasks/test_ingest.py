from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest

from ml_tasks import config, ingest, sources
from ml_tasks.config import ROOT, Pipeline, Source
from ml_tasks.context import Context
from ml_tasks.errors import SourceError
from ml_tasks.io import objects, parquet
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake
from ml_tasks.result import Result, Window

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from ml_tasks.config import Environment
    from ml_tasks.sources.delivery import Delivery

FLIGHTS = config.load("flight_delays", ROOT / "ml_tasks" / "pipelines")
WEEK = Window.parse("2013-01-01/2013-01-08")
HEAD = "id,at,value,note\n"


@pytest.fixture
def pipeline(tmp_path: Path) -> Pipeline:
    source = Source(
        kind="csv",
        params={"path": f"{tmp_path.as_uri()}/in/{{date}}/*.csv"},
        key=("id",),
        event_time="at",
        known_at=("at",),
        columns={"id": "int64", "at": "timestamp", "value": "float64?", "note": "string?"},
    )
    return FLIGHTS.model_copy(update={"sources": {"s": source}})


def deliver(tmp_path: Path, text: str, *, day: int = 2, landed: int = 3) -> None:
    name = f"in/2013-01-{day:02}/landed=2013-01-{landed:02}.csv"
    objects.write_text((tmp_path / name).as_uri(), HEAD + text)


def run(pipeline: Pipeline, environment: Environment, attempt: int = 1) -> Result:
    context = Context(
        task="ingest",
        pipeline="p",
        run="r",
        attempt=attempt,
        environment=environment,
        window=WEEK,
    )
    return ingest.run(pipeline, context)


def staged(result: Result, kind: str = "staged") -> list[dict[str, object]]:
    return list(parquet.read_parts(result.outputs[f"{kind}_s"].parts).to_pylist())


def publish(environment: Environment, result: Result) -> None:
    control = Control(environment.control)
    control.migrate()
    rows = parquet.read_parts(result.outputs["staged_s"].parts)
    with control.lease("raw.s", holder="r/validate", attempt=1) as lease:
        Lake(environment).publish("raw.s", rows, WEEK, lease)
    control.published("raw.s", WEEK.start.isoformat(), WEEK.end.isoformat(), "r")


def test_new_unchanged_corrected(
    pipeline: Pipeline, environment: Environment, tmp_path: Path
) -> None:
    deliver(tmp_path, "1,2013-01-02T10:00:00Z,0.5,a\n2,2013-01-02T11:00:00Z,,\n")
    first = run(pipeline, environment)
    assert first.values["s"] == {
        "deliveries": 1, "read": 2, "new": 2, "late": 0, "corrections": 0, "rejected": 0,
        "reasons": {},
    }  # fmt: skip
    assert all(r["known_at"] == r["event_time"] == r["at"] for r in staged(first))
    publish(environment, first)
    assert run(pipeline, environment, 2).values["unchanged"] is True

    deliver(tmp_path, "2,2013-01-02T11:00:00Z,7,\n1,2013-01-02T10:00:00Z,0.5,a\n", landed=6)
    again = run(pipeline, environment, 3)
    (row,) = staged(again)
    assert (row["id"], row["value"]) == (2, 7.0)
    assert row["known_at"] == row["corrected_at"] == WEEK.start.replace(day=6)
    assert again.values["unchanged"] is False


def test_a_correction_within_one_window_keeps_both_versions(
    pipeline: Pipeline, environment: Environment, tmp_path: Path
) -> None:
    deliver(tmp_path, "1,2013-01-02T10:00:00Z,1,\n", landed=3)
    deliver(tmp_path, "1,2013-01-02T10:00:00Z,2,\n", landed=5)
    result = run(pipeline, environment)
    assert [r["value"] for r in staged(result)] == [1.0, 2.0]
    assert result.values["s"]["corrections"] == 1


def test_a_row_that_first_comes_once_the_window_was_published_is_known_when_it_lands(
    pipeline: Pipeline, environment: Environment, tmp_path: Path
) -> None:
    """The deliveries of the first publication are not late, however many they are."""
    deliver(tmp_path, "1,2013-01-02T10:00:00Z,1,\n")
    deliver(tmp_path, "2,2013-01-02T11:00:00Z,2,\n3,2013-01-02T12:00:00Z,x,\n", landed=25)
    first = run(pipeline, environment)
    assert [r["corrected_at"] for r in staged(first)] == [None, None]
    publish(environment, first)

    fixed, new = "3,2013-01-02T12:00:00Z,3,\n", "4,2013-01-02T13:00:00Z,4,\n"
    deliver(tmp_path, fixed + new + "1,2013-01-02T10:00:00Z,9,\n", landed=28)
    again = run(pipeline, environment, 2)
    landed = WEEK.start.replace(day=28)
    assert [(r["id"], r["known_at"], r["corrected_at"]) for r in staged(again)] == [
        (1, landed, landed), (3, landed, landed), (4, landed, landed)
    ]  # fmt: skip
    told = again.values["s"]
    assert (told["new"], told["late"], told["corrections"]) == (0, 2, 1)


def test_only_rows_of_what_was_published_are_late(
    pipeline: Pipeline, environment: Environment, tmp_path: Path
) -> None:
    """Also where nothing had come, and where a longer window is read than was published."""
    control = Control(environment.control)
    control.migrate()
    control.published("raw.s", "2013-01-01T00:00:00+00:00", "2013-01-03T00:00:00+00:00", "r")
    deliver(tmp_path, "1,2013-01-02T10:00:00Z,1,\n", landed=9)
    deliver(tmp_path, "2,2013-01-03T00:00:00Z,2,\n", day=3, landed=9)
    result = run(pipeline, environment)
    assert [r["corrected_at"] for r in staged(result)] == [WEEK.start.replace(day=9), None]


def test_a_wrong_version_that_claims_to_be_known_later_does_not_come_back(
    pipeline: Pipeline, environment: Environment, tmp_path: Path
) -> None:
    """Its time was wrong, and is corrected before that time has come."""
    source = pipeline.sources["s"]
    columns = {**source.columns, "done": "timestamp?"}
    known = {"columns": columns, "known_at": ("at", "done")}
    pipeline = pipeline.model_copy(update={"sources": {"s": source.model_copy(update=known)}})
    folder, head = f"{tmp_path.as_uri()}/in/2013-01-02", "id,at,value,note,done\n"
    for day, done in ((3, "2013-03-01"), (5, "2013-01-02")):
        row = f"1,2013-01-02T10:00:00Z,1,,{done}T12:00:00Z\n"
        objects.write_text(f"{folder}/landed=2013-01-{day:02}.csv", head + row)
    first = run(pipeline, environment)
    assert first.values["s"]["corrections"] == 1
    publish(environment, first)
    assert run(pipeline, environment, 2).values["unchanged"] is True


def test_versions_that_landed_at_once_or_came_back_are_no_news_again(
    pipeline: Pipeline, environment: Environment, tmp_path: Path
) -> None:
    folder = f"{tmp_path.as_uri()}/in/2013-01-02"
    for day, value in ((3, 1), (5, 2), (6, 1)):
        for part in "ab":
            text = f"{HEAD}1,2013-01-02T10:00:00Z,{value},{part}\n"
            objects.write_text(f"{folder}/landed=2013-01-{day:02}/{part}.csv", text)
    source = pipeline.sources["s"]
    params = {"path": source.params["path"].replace("*", "**/*")}
    source = source.model_copy(update={"params": params})
    pipeline = pipeline.model_copy(update={"sources": {"s": source}})
    first = run(pipeline, environment)
    assert [(r["value"], r["note"]) for r in staged(first)] == [(1, "b"), (2, "b"), (1, "b")]
    publish(environment, first)
    again = run(pipeline, environment, 2)
    assert staged(again) == []
    assert again.values["unchanged"] is True


def test_a_delivery_that_is_found_late_is_held_against_what_was_known_when_it_landed(
    pipeline: Pipeline, environment: Environment, tmp_path: Path
) -> None:
    for landed, value in ((3, 1), (7, 2)):
        deliver(tmp_path, f"1,2013-01-02T10:00:00Z,{value},\n", landed=landed)
    publish(environment, run(pipeline, environment))
    deliver(tmp_path, "1,2013-01-02T10:00:00Z,5,\n", landed=5)
    (found,) = staged(run(pipeline, environment, 2))
    assert (found["value"], found["corrected_at"]) == (5, WEEK.start.replace(day=5))


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ("x,2013-01-02T10:00:00Z,1,\n", "column 'id': came 'x', wanted int64"),
        (",2013-01-02T10:00:00Z,1,\n", "column 'id': came nothing, wanted int64"),
        ("1,yesterday,1,\n", "column 'at': came 'yesterday', wanted timestamp"),
        ("1,2013-01-02T10:00:00Z,inf,\n", "column 'value': came 'inf', wanted float64?"),
        ("1,2013-01-05T10:00:00Z,1,\n", "outside 2013-01-02/2013-01-03"),
        ("9,2013-01-02T10:00:00Z,2,\n", "key ['id'] came before in the same file"),
        ("too,few\n", "line has 2 values, wanted 4"),
    ],
)
def test_what_does_not_fit_is_kept_with_its_reason(
    pipeline: Pipeline, environment: Environment, tmp_path: Path, line: str, reason: str
) -> None:
    deliver(tmp_path, "9,2013-01-02T09:00:00Z,1,\n" + line)
    result = run(pipeline, environment)
    assert [r["id"] for r in staged(result)] == [9]
    (bad,) = staged(result, "rejected")
    assert reason in str(bad["reason"])
    assert str(bad["row"])
    assert result.values["unchanged"] is False


def test_a_file_is_read_the_same_whether_or_not_all_of_it_fits(
    pipeline: Pipeline, environment: Environment, tmp_path: Path
) -> None:
    """One that fits is read as it is declared, one that does not as text."""
    lines = (
        "3,2013-01-02T10:00:00Z, 2.5 ,\n007,2013-01-02T09:00:00Z,1e3,é\n 5,2013-01-02T10:00Z,,-\n"
    )
    deliver(tmp_path, lines)
    fits = run(pipeline, environment)
    deliver(tmp_path, lines + "x,2013-01-02T10:00:00Z,1,\n")
    does_not = run(pipeline, environment, 2)
    assert [r["id"] for r in staged(fits)] == [7, 3, 5]
    assert staged(fits) == staged(does_not)
    assert fits.outputs["staged_s"].content_hash == does_not.outputs["staged_s"].content_hash
    assert len(staged(does_not, "rejected")) == 1


def test_bad_rows_of_other_windows_are_theirs(
    pipeline: Pipeline, environment: Environment, tmp_path: Path
) -> None:
    """A file of many windows is read for each; what has no readable time counts in all."""
    uri = (tmp_path / "whole.csv").as_uri()
    lines = "1,2013-01-02T10:00:00Z,x,\n2,2013-02-02T10:00:00Z,x,\n3,never,1,\n"
    objects.write_text(uri, HEAD + lines)
    source = pipeline.sources["s"].model_copy(update={"params": {"path": uri}})
    result = run(pipeline.model_copy(update={"sources": {"s": source}}), environment)
    assert [json.loads(str(r["row"]))["id"] for r in staged(result, "rejected")] == ["1", "3"]


def test_columns_that_are_new_shuffled_or_gone(
    pipeline: Pipeline, environment: Environment, tmp_path: Path
) -> None:
    uri = (tmp_path / "in/2013-01-02/landed=2013-01-03.csv").as_uri()
    objects.write_text(uri, "extra,at,id\nz,2013-01-02T10:00:00Z,1\n")
    result = run(pipeline, environment)
    (row,) = staged(result)
    assert (row["id"], row["value"]) == (1, None)
    (bad,) = staged(result, "rejected")
    assert bad["reason"] == "column 'extra' is not declared"
    assert bad["row"] == '["z"]'


def test_a_file_that_cannot_be_read_is_rejected_whole(
    pipeline: Pipeline, environment: Environment, tmp_path: Path
) -> None:
    objects.write_bytes(
        (tmp_path / "in/2013-01-03/x.csv").as_uri(), b"\xff\xfe\x00garbage\x00\n\x80"
    )
    deliver(tmp_path, "1,2013-01-02T10:00:00Z,1,\n")
    result = run(pipeline, environment)
    assert [r["id"] for r in staged(result)] == [1]
    (bad,) = staged(result, "rejected")
    assert str(bad["reason"]).startswith("file cannot be read: ")
    assert (str(bad["uri"]).rsplit("/", 1)[1], bad["row"]) == ("x.csv", "")


def test_a_window_for_which_nothing_was_delivered_is_refused(
    pipeline: Pipeline, environment: Environment, tmp_path: Path
) -> None:
    place = re.escape(f"{tmp_path.as_uri()}/in/{{date}}/*.csv")
    wanted = f"source s, window 2013-01-01/2013-01-08: nothing .* looked at {place}; deliver"
    with pytest.raises(SourceError, match=wanted):
        run(pipeline, environment)
    deliver(tmp_path, "")
    assert run(pipeline, environment, 2).values["s"]["deliveries"] == 1


@pytest.mark.parametrize(
    ("head", "lines", "also"),
    [
        (HEAD, "1,2012-12-02T10:00:00Z,1,\n", ""),
        ("id,former,value,note\n", "1,2012-12-02T10:00:00Z,1,\n", ""),
        ("id,at,value,note,rider\n", "1,2012-12-02T10:00:00Z,1,,x\n", ""),
        (HEAD, "1,2012-12-02T10:00:00Z,1,\nx,2012-11-02T10:00:00Z,1,\n2,02/01/2013,1,\n",
         " and 1 have no time, such as at='02/01/2013'"),
    ],
)  # fmt: skip
def test_a_window_that_lies_behind_all_rows_is_refused(
    pipeline: Pipeline, environment: Environment, tmp_path: Path, head: str, lines: str, also: str
) -> None:
    """Whatever else is amiss with the file, and whatever its columns were called."""
    uri = (tmp_path / "whole.csv").as_uri()
    objects.write_text(uri, head + lines)
    source = pipeline.sources["s"].model_copy(
        update={"params": {"path": uri}, "renamed_from": {"at": "former"}}
    )
    with pytest.raises(SourceError, match=f"those that are end at 2012-12-02 10:00{also}; deliver"):
        run(pipeline.model_copy(update={"sources": {"s": source}}), environment)


def test_times_that_python_lacks_and_spans_are_shown(
    pipeline: Pipeline, environment: Environment, tmp_path: Path
) -> None:
    """In a row of the window that does not fit, in one of another window, in an unknown column."""
    kind, here = pl.Datetime("us", "UTC"), pl.lit(datetime(2013, 1, 2, tzinfo=UTC))
    far = pl.lit(2**58).cast(kind)
    rows = pl.DataFrame({"id": [None, 2, 3], "value": [1.0, 2.0, 3.0], "note": ["a", "b", "c"]})
    place = tmp_path / "rows.parquet"
    rows.with_columns(
        at=pl.when(pl.col("id") == 3).then(far).otherwise(here.cast(kind)),
        until=far,
        lasts=pl.lit(timedelta(microseconds=5)),
    ).write_parquet(place)
    source = pipeline.sources["s"].model_copy(
        update={"kind": "parquet", "params": {"path": place.as_uri()}}
    )
    result = run(pipeline.model_copy(update={"sources": {"s": source}}), environment)
    assert [r["id"] for r in staged(result)] == [2]
    reasons = {str(one["reason"]): str(one["row"]) for one in staged(result, "rejected")}
    assert len(reasons) == 3
    assert "+11103-" in reasons["column 'until' is not declared"]
    assert "0:00:00.000005" in reasons["column 'lasts' is not declared"]


def test_a_source_that_may_be_empty_says_so(pipeline: Pipeline, environment: Environment) -> None:
    source = pipeline.sources["s"].model_copy(update={"may_be_empty": True})
    result = run(pipeline.model_copy(update={"sources": {"s": source}}), environment)
    assert result.values["unchanged"] is True
    assert result.values["s"]["deliveries"] == 0
    assert result.outputs["staged_s"].rows == 0


def test_a_week_of_flights_twice_gives_the_same_hashes(environment: Environment) -> None:
    one, two = run(FLIGHTS, environment), run(FLIGHTS, environment, 2)
    assert one.values["flights"]["new"] > 5_000
    assert one.values["weather"]["rejected"] == one.values["flights"]["rejected"] == 0
    hashes = [{k: o.content_hash for k, o in r.outputs.items()} for r in (one, two)]
    assert hashes[0] == hashes[1]


def test_what_another_run_brought_in_meanwhile_is_what_corrections_are_held_to(
    pipeline: Pipeline, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(tmp_path, "1,2013-01-02T10:00:00Z,5,\n")
    first, read = run(pipeline, environment), sources.read
    (tmp_path / "in/2013-01-02/landed=2013-01-03.csv").unlink()
    deliver(tmp_path, "1,2013-01-02T10:00:00Z,6,\n", landed=5)

    def slow(*told: Any) -> Iterator[Delivery]:
        yield from read(*told)
        publish(environment, first)

    monkeypatch.setattr(sources, "read", slow)
    second = run(pipeline, environment, 2)
    said = second.values["s"]
    assert (said["corrections"], said["late"], said["new"]) == (1, 0, 0)
    (row,) = staged(second)
    assert (row["value"], row["corrected_at"]) == (6, datetime(2013, 1, 5, tzinfo=UTC))


def test_what_another_run_brings_in_as_this_one_looks_is_no_news(
    pipeline: Pipeline, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deliver(tmp_path, "1,2013-01-02T10:00:00Z,5,\n")
    first, known = run(pipeline, environment), ingest._published

    def slow(*told: Any) -> list[Window]:
        found = known(*told)
        publish(environment, first)
        return found

    monkeypatch.setattr(ingest, "_published", slow)
    said = run(pipeline, environment, 2).values["s"]
    assert (said["corrections"], said["late"], said["new"]) == (0, 0, 0)
