from __future__ import annotations

import pytest

from ml_tasks.result import Output, Result, Window


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("2013-01-01/2013-01-08", "2013-01-01/2013-01-08"),
        ("2013-01-01T00:00:00Z/2013-01-01T06:00:00Z", "2013-01-01/2013-01-01T06:00:00Z"),
        ("2013-01-01T00:00:00-05:00/2013-01-02", "2013-01-01T05:00:00Z/2013-01-02"),
    ],
)
def test_window_reads_and_shows(text: str, shown: str) -> None:
    assert str(Window.parse(text)) == shown
    assert Window.parse(shown) == Window.parse(text)


def test_window_slug_is_safe_in_paths() -> None:
    assert Window.parse("2013-01-01T06:30:00/2013-01-02").slug == "2013-01-01T063000Z_2013-01-02"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2013-01-01", "wanted START/END"),
        ("2013-01-08/2013-01-01", "start must come before the end"),
        ("2013-01-01/2013-01-01", "start must come before the end"),
        ("yesterday/today", "Invalid isoformat"),
        ("2024-01-01/9999-12-31T23:59:59-10:00", "date value out of range"),
    ],
)
def test_window_refuses(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Window.parse(text)


def test_result_survives_json() -> None:
    result = Result(task="ingest", pipeline="p", run="r", values={"rows": 3})
    assert Result.model_validate_json(result.model_dump_json()) == result


def test_the_objects_of_an_output() -> None:
    table = Output(table="raw.t", content_hash="0")
    one = Output(uri="file:///a", bytes_hash="1", content_hash="0")
    two = Output(uri="file:///a", bytes_hash="1", content_hash="0", more={"file:///b": "2"})
    assert table.parts == {}
    assert one.parts == {"file:///a": "1"}
    assert list(two.parts.items()) == [("file:///a", "1"), ("file:///b", "2")]
    assert "more" not in one.model_dump()
    for output in (table, one, two):
        assert Output.model_validate_json(output.model_dump_json()) == output
