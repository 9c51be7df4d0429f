from __future__ import annotations

from datetime import UTC, datetime

import polars as pl
import pytest

from ml_tasks.io.versions import newest_versions

JANUARY = [datetime(2013, 1, day, tzinfo=UTC) for day in range(1, 10)]
ROWS = pl.DataFrame(
    {
        "id": [1, 2, 1, 1, 3, 3],
        "value": ["later", "only", "once", "claims", "this", "that"],
        "known_at": [JANUARY[4], JANUARY[0], JANUARY[2], JANUARY[8], JANUARY[5], JANUARY[5]],
        "corrected_at": [JANUARY[4], None, JANUARY[2], None, JANUARY[5], JANUARY[5]],
    },
    schema_overrides={"corrected_at": pl.Datetime("us", "UTC")},
)


@pytest.mark.parametrize(
    ("by", "wanted"),
    [
        (None, {1: "later", 2: "only", 3: "that"}),
        (JANUARY[5], {1: "later", 2: "only", 3: "that"}),
        (JANUARY[3], {1: "once", 2: "only"}),
        (JANUARY[1], {1: "claims", 2: "only"}),
    ],
)
def test_what_landed_last_is_the_newest(by: datetime | None, wanted: dict[int, str]) -> None:
    """Whatever it says of itself; of what landed at once, the last."""
    found = newest_versions(ROWS, ("id",), by=by)
    assert dict(found.select("id", "value").iter_rows()) == wanted
