"""Which version of a row counts, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.io.evolution import conform

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence
    from datetime import datetime

    import polars as pl
    import pyarrow as pa


def newest_versions(
    rows: pl.DataFrame, key: Sequence[str], *, by: datetime | None = None
) -> pl.DataFrame:
    """Give each key's newest version: what landed last, else what came first.

    What a version says of when its facts were known does not count: that may be the very thing
    that was corrected.

    Args:
        rows: Raw rows in all their versions; of those that landed at once the last is the newest.
        key: Columns that name a row.
        by: Nothing that landed later counts; everything does when not given.
    """
    import polars as pl

    landed = pl.col("corrected_at")
    known = rows if by is None else rows.filter(landed.is_null() | (landed <= by))
    in_order = known.sort(landed, nulls_last=False, maintain_order=True)
    return in_order.unique(list(key), keep="last", maintain_order=True)


def united(had: pa.Table, added: pa.Table, without: Collection[str] = ()) -> pa.Table:
    """Give each row of both once, in the form of those that there were.

    Args:
        had: Rows that there were.
        added: What comes to them.
        without: Columns that do not count where two rows are the same.
    """
    import polars as pl
    import pyarrow as pa

    both = pl.DataFrame(pl.from_arrow(pa.concat_tables([had, conform(added, had.schema)])))
    same = [name for name in both.columns if name not in without]
    return both.unique(same, keep="first", maintain_order=True).to_arrow().cast(had.schema)
