"""Cells of a set held against what they should be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Numbers = NDArray[np.float64]


def differs(came: pa.ChunkedArray, wanted: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Tell which cells are not the same; null and NaN are one, and equal each other."""
    left, right = _plain(came), _plain(wanted)
    if pa.types.is_string(left.type) != pa.types.is_string(right.type):
        return np.ones(len(left), bool)
    null = _bits(pc.is_null(left)) != _bits(pc.is_null(right))
    return np.asarray(null | _bits(pc.fill_null(pc.not_equal(left, right), False)))


def numbers(column: pa.ChunkedArray) -> Numbers:
    """Give a column as floats, NaN for null; texts as the numbers of their distinct values."""
    plain = _plain(column)
    if pa.types.is_string(plain.type):
        values = plain.combine_chunks().dictionary_encode()
        plain = pa.chunked_array([values.indices])
    found: Numbers = plain.cast(pa.float64(), safe=False).to_numpy()
    return found


def shown(value: Any) -> str:
    """Give a cell in few words."""
    return f"{value:g}" if isinstance(value, float) else str(value)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    kind = column.type
    if pa.types.is_floating(kind):
        column = column.cast(pa.float64())
        return pc.if_else(pc.fill_null(pc.is_nan(column), True), None, column)
    if pa.types.is_timestamp(kind):
        return column.cast(pa.timestamp("us", kind.tz)).cast(pa.int64())
    if pa.types.is_integer(kind) or pa.types.is_boolean(kind):
        return column.cast(pa.int64())
    if pa.types.is_null(kind):
        return column.cast(pa.float64())
    return column.cast(pa.string())


def _bits(column: pa.ChunkedArray) -> NDArray[np.bool_]:
    found: NDArray[np.bool_] = column.to_numpy(zero_copy_only=False).astype(bool)
    return found
