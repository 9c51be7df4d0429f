from __future__ import annotations

import pytest

from ml_tasks.io.control import Control


@pytest.fixture
def control(database_url: str) -> Control:
    made = Control(database_url)
    made.migrate()
    return made


def day(number: int) -> str:
    return f"2013-01-{number:02}T00:00:00+00:00"


def complete(control: Control, start: int, end: int) -> None:
    with control.lease("windows", holder="r/materialise", attempt=1) as lease:
        control.complete("p", day(start), day(end), "r", lease)


def test_what_is_covered_spans_no_hole(control: Control) -> None:
    assert control.covered("p") is None
    for start, end, covered in ((8, 15, 15), (22, 29, 15), (1, 8, 15), (15, 22, 29), (1, 31, 31)):
        complete(control, start, end)
        assert control.covered("p") == day(covered)
    complete(control, 1, 8)
    assert control.covered("p") == day(31), "a part of it came once more, and all of it is in"
    assert control.covered("other") is None


def test_the_first_run_that_published_a_window_stays(control: Control) -> None:
    for start, end, run in ((8, 15, "b"), (1, 8, "a"), (1, 8, "again"), (1, 31, "month")):
        control.published("raw.s", day(start), day(end), run)
    control.published("raw.t", day(1), day(8), "other")
    found = [(w.start[8:10], w.end[8:10], w.run) for w in control.publications("raw.s")]
    assert sorted(found) == [("01", "08", "a"), ("01", "31", "month"), ("08", "15", "b")]
