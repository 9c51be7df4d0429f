"""Columns of a table as what tests compare: numbers, or codes of texts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from ml_tasks.errors import RejectedError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray


def is_number(kind: pa.DataType) -> bool:
    """Whether a column of this type is compared as numbers."""
    types = pa.types
    return bool(types.is_integer(kind) or types.is_floating(kind) or types.is_decimal(kind))


def is_text(kind: pa.DataType) -> bool:
    """Whether a column of this type is compared as categories; of what is neither none is read."""
    types = pa.types
    if types.is_dictionary(kind):
        kind = kind.value_type
    kinds = (types.is_string, types.is_large_string, types.is_string_view, types.is_boolean)
    return any(one(kind) for one in kinds)


def numbers(table: pa.Table, name: str) -> NDArray[np.float64]:
    """Give a column's numbers; null and NaN are left out, infinities stay.

    Raises:
        RejectedError: There is no such column, or it has no numbers.
    """
    column = _column(table, name, is_number, "numbers")
    if column.null_count:
        column = column.drop_null()
    found: NDArray[Any] = column.cast(pa.float64(), safe=False).to_numpy()
    there = ~np.isnan(found)
    return found if there.all() else found[there]


def places(table: pa.Table, name: str) -> NDArray[np.float64]:
    """Give a column's numbers row by row; what is missing is NaN."""
    column = _column(table, name, is_number, "numbers")
    found: NDArray[np.float64] = column.cast(pa.float64(), safe=False).to_numpy()
    return found


def texts(table: pa.Table, name: str) -> pa.Array:
    """Give a column's texts, nulls included.

    Raises:
        RejectedError: There is no such column, or it has no texts.
    """
    joined = _column(table, name, is_text, "texts").cast(pa.string()).combine_chunks()
    if isinstance(joined, pa.ChunkedArray):
        joined = pa.concat_arrays(joined.chunks) if joined.num_chunks else pa.array([], pa.string())
    return joined


def codes(words: pa.Array, vocabulary: Sequence[str]) -> NDArray[np.int64]:
    """Give each text's place in the vocabulary; nulls are left out.

    A text that is not in it gets a code of its own after the last, in alphabetical order.
    """
    words = words.drop_null()
    found = pc.index_in(words, pa.array(vocabulary, pa.string()))
    if found.null_count:
        strange = pc.unique(words.filter(found.is_null())).sort()
        beyond = pc.add(pc.index_in(words, strange), len(vocabulary))
        found = pc.coalesce(found, beyond.cast(pa.int32()))
    coded: NDArray[np.int64] = found.to_numpy(zero_copy_only=False).astype(np.int64)
    return coded


def known(words: pa.Array, vocabulary: Sequence[str]) -> NDArray[np.int64]:
    """Give the place of each of a reference's own texts in its vocabulary; null is -1."""
    found = pc.index_in(words, pa.array(vocabulary, pa.string())).fill_null(-1)
    coded: NDArray[np.int64] = found.to_numpy(zero_copy_only=False).astype(np.int64)
    return coded


def _column(
    table: pa.Table, name: str, fits: Callable[[pa.DataType], bool], wanted: str
) -> pa.ChunkedArray:
    if name not in table.column_names:
        raise RejectedError(
            f"column {name}: not among {table.column_names}; the reference has it: give the window "
            "the features of the version that is watched"
        )
    column = table[name]
    # A column that has nothing but nulls may have lost its type on the way.
    if not fits(column.type) and not pa.types.is_null(column.type):
        raise RejectedError(f"column {name}: came {column.type}, the reference has {wanted}")
    return column
