"""What was known of a key at a moment: a plain search in a table's rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import timedelta

    from numpy.typing import NDArray

    Places = NDArray[np.int64]
    """Row numbers of a table; -1 where there is no row."""
    Times = NDArray[np.int64]
    """Microseconds since 1970."""

ALWAYS = np.iinfo(np.int64).min
"""When something was known that nobody corrected."""
_WIDE = 2**31


@dataclass(frozen=True, slots=True)
class Found:
    """Rows of a table for each ask."""

    known: Places
    """The newest event that had happened and was known."""
    corrected: Places
    """The same without the cut on what was known: a late correction shows here."""
    following: Places
    """The key's next row after the ask, whenever it was known: a future row shows here."""
    last: Places
    """The key's last row of all."""


def search(
    rows: pa.Table,
    asks: pa.Table,
    *,
    keys: Sequence[str],
    asked_at: Times,
    event_time: Times,
    known_at: Times,
    ttl: timedelta | None = None,
) -> Found:
    """Find for each ask the newest row among those that had happened and were known by then.

    Rows lie in the order of key, event time and known-at time. The search finds where the asked
    moment would lie among them, and goes back from there, row by row, until one was known.

    Args:
        rows: The keys and whatever else.
        asks: The keys, one row an ask; a null key finds nothing.
        keys: Names of the key columns, in both tables.
        asked_at: When each ask was made.
        event_time: When each row happened.
        known_at: When each row became known.
        ttl: How old an event may be; `None` for any age.
    """
    own, wanted = _codes(rows, asks, keys)
    moments = np.unique(event_time)
    width = len(moments) + 1
    place = own * width + np.searchsorted(moments, event_time)
    order = np.lexsort((known_at, place))
    order = order[own[order] >= 0]
    place, own, event_time, known_at = (a[order] for a in (place, own, event_time, known_at))
    moment = np.searchsorted(moments, asked_at, "right")
    # In order, one look into a long table is near the one before.
    turn = np.argsort(wanted * width + moment)

    def first_at(values: Places) -> Places:
        found = np.empty_like(values)
        found[turn] = np.searchsorted(place, values[turn])
        return found

    begins, ends = first_at(wanted * width), first_at((wanted + 1) * width)
    after = first_at(wanted * width + moment)
    oldest = np.full(len(asked_at), ALWAYS)
    if ttl is not None:
        oldest = asked_at - int(ttl.total_seconds() * 1_000_000)

    def fresh(at: Places) -> Places:
        good = (wanted >= 0) & (at >= begins) & (at < ends)
        good[good] &= event_time[at[good]] >= oldest[good]
        return np.where(good, at, -1)

    known = fresh(after - 1)
    while True:
        there = np.flatnonzero(known >= 0)
        early = there[known_at[known[there]] > asked_at[there]]
        if not len(early):
            break
        known[early] -= 1
        known = fresh(known)

    def rows_at(at: Places) -> Places:
        return np.where(at >= 0, np.append(order, -1)[at], -1)

    return Found(*map(rows_at, (known, fresh(after - 1), fresh(after), fresh(ends - 1))))


def micros(times: pa.ChunkedArray) -> Times:
    """Give times as microseconds since 1970, `ALWAYS` for null."""
    plain = times.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
    found: Times = pc.fill_null(plain, ALWAYS).to_numpy()
    return found


def take(rows: pa.Table, places: Places) -> pa.Table:
    """Give rows by number, nulls for -1."""
    return rows.take(pa.array(places, mask=places < 0))


def _codes(rows: pa.Table, asks: pa.Table, keys: Sequence[str]) -> tuple[Places, Places]:
    """Number the keys of both tables alike; -1 where a part of the key is null."""
    codes, missing = np.zeros(len(rows) + len(asks), np.int64), np.zeros(1, bool)
    distinct = 1
    for key in keys:
        kind = rows.schema.field(key).type
        both = [*rows[key].chunks, *asks[key].cast(kind).chunks]
        part = pa.chunked_array(both, kind).combine_chunks().dictionary_encode()
        missing = missing | ~part.is_valid().to_numpy(zero_copy_only=False)
        codes = codes * len(part.dictionary) + pc.fill_null(part.indices, 0).to_numpy()
        distinct *= max(1, len(part.dictionary))
        if distinct > _WIDE:
            values, codes = np.unique(codes, return_inverse=True)
            distinct = len(values)
    codes = np.where(missing, -1, codes)
    return codes[: len(rows)], codes[len(rows) :]
