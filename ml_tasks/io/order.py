"""The order of a table's rows by several columns, found by sorting whole numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    Words = NDArray[np.uint64]

WORD = 64
PART = 2**16
"""Rows that are looked at together where all at once would need new memory."""
MANY = 2**15
"""Words from which on polars sorts them, on all cores; fewer are sooner done than it is begun."""


class Order(NamedTuple):
    """How rows are sorted."""

    rows: NDArray[np.int64]
    """Their numbers, the first one first."""
    tied: bool
    """Two of them are the same in all columns."""
    repeated: bool
    """Two of them have the same key."""


def order(table: pa.Table, names: Sequence[str], key: Sequence[str] = ()) -> Order:
    """Sort rows by columns, the first column first; nulls come before all, NaN after all.

    A column's values are turned into whole numbers of the same order. Numbers of as many columns
    as fit stand in one word, behind that of the group of rows that were the same so far; words are
    sorted, and rows that stand alone are done.

    Args:
        table: Columns of truth values, numbers, times and texts.
        names: Those that count.
        key: Columns that should tell any two rows apart; none where nobody asks.
    """
    import numpy as np

    if table.num_rows < 2 or not names:
        twice = bool(key) and repeated(table, key)
        return Order(np.arange(table.num_rows), tied=table.num_rows > 1, repeated=twice)
    words, widths = _words(table, names)
    held = dict(zip(names, widths, strict=False))
    twice = bool(key) and _key_repeated(table, key, words, held)
    rows, used = _ranked(words), len(widths)
    tied, groups = _together(words)
    while used < len(names) and len(tied):
        words, widths = _words(table, names[used:], rows[tied], groups)
        used += len(widths)
        rows[tied] = rows[tied][_ranked(words)]
        still, groups = _together(words)
        tied = tied[still]
    return Order(rows, tied=len(tied) > 0, repeated=twice)


def repeated(table: pa.Table, names: Sequence[str]) -> bool:
    """Tell whether two rows are the same in all of some columns."""
    if table.num_rows < 2:
        return False
    words, widths = _words(table, names)
    return order(table, names).tied if len(widths) < len(names) else _twice(words)


def numbers(column: pa.ChunkedArray, spare: Words | None = None) -> tuple[Words, int]:
    """Give whole numbers in the order of a column's values, 0 for null, and their largest.

    Args:
        column: Truth values, numbers, times or texts.
        spare: Memory for them.
    """
    import numpy as np
    import pyarrow.compute as pc

    if column.null_count == len(column):
        return np.zeros(len(column), np.uint64), 0
    if is_text(column.type):
        parts, texts = _places(column)
        ranks = np.empty(len(texts) + 1, np.uint64)
        ranks[pc.sort_indices(texts).to_numpy()] = np.arange(1, len(texts) + 1, dtype=np.uint64)
        ranks[-1] = 0
        found = np.empty(len(column), np.uint64) if spare is None else spare[: len(column)]
        return _poured(found, (np.take(ranks, part, mode="wrap") for part in parts)), len(texts)
    values = filled(column.fill_null(pc.min(column)) if column.null_count else column, spare)
    found = _ascending(values) if values.dtype.kind == "f" else _from_least(values)
    if int(found.max()) >= 2 ** (WORD // 2):
        found = np.unique(found, return_inverse=True)[1].astype(np.uint64)
    if column.null_count:
        found += np.uint64(1)
        found[column.is_null().to_numpy()] = 0
    return found, int(found.max())


def is_text(kind: pa.DataType) -> bool:
    """Tell whether a column holds texts, plain ones or a dictionary's."""
    import pyarrow as pa

    wide = pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    return bool(wide or pa.types.is_string(kind) or pa.types.is_dictionary(kind))


def encoded(column: pa.ChunkedArray) -> tuple[NDArray[np.int32], pa.Array]:
    """Give the places of a column's texts among the different ones, -1 for null, and those."""
    import numpy as np

    parts, texts = _places(column)
    return _poured(np.empty(len(column), np.int32), parts), texts


def filled(column: pa.ChunkedArray, spare: Words | None = None) -> NDArray[Any]:
    """Give a column's values in one piece: truth values as 0 and 1, times as numbers, null as 0.

    Args:
        column: Truth values, numbers or times.
        spare: Memory for them: new memory costs more than what is done in it.
    """
    import numpy as np
    import pyarrow as pa

    if pa.types.is_boolean(column.type):
        column = column.cast(pa.int8())
    if pa.types.is_temporal(column.type):
        column = column.cast(pa.int64())
    found: NDArray[Any]
    if column.num_chunks == 1 and not column.null_count and spare is None:
        found = column.to_numpy()
        return found
    kind = np.dtype(column.type.to_pandas_dtype())
    room = np.empty(len(column), kind) if spare is None else spare.view(kind)
    return _poured(room[: len(column)], (part.fill_null(0) for part in column.chunks))


def _places(column: pa.ChunkedArray) -> tuple[Iterator[NDArray[np.int32]], pa.Array]:
    import pyarrow as pa

    held = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    parts = held.unify_dictionaries().chunks
    places = (part.indices.fill_null(-1).to_numpy(zero_copy_only=False) for part in parts)
    return places, parts[0].dictionary


def _poured(room: NDArray[Any], parts: Iterable[Any]) -> NDArray[Any]:
    """Fill memory with parts, one after the other."""
    at = 0
    for part in parts:
        room[at : at + len(part)] = part
        at += len(part)
    return room


def _ranked(words: Words) -> NDArray[np.int64]:
    """Sort words in their place, and say which stood where."""
    import numpy as np

    if (words[1:] >= words[:-1]).all():
        return np.arange(len(words))
    by = np.argsort(words) if len(words) < MANY else _by_all_cores(words)
    words[:] = words[by]
    return by


def _by_all_cores(words: Words) -> NDArray[np.int64]:
    import numpy as np
    import polars as pl

    return pl.Series(words).arg_sort().to_numpy().astype(np.int64)


def _key_repeated(
    table: pa.Table, key: Sequence[str], words: Words, widths: dict[str, int]
) -> bool:
    """Tell whether two rows have the same key: by its bits of the words, where all are there."""
    import numpy as np

    if not widths.keys() >= set(key):
        return repeated(table, key)
    at, mask = 0, 0
    for name, width in reversed(widths.items()):
        if name in key:
            mask |= (1 << width) - 1 << at
        at += width
    return _twice(words & np.uint64(mask))


def _twice(words: Words) -> bool:
    """Tell whether a word comes twice; they are left in any order."""
    if len(words) < MANY:
        words.sort()
        return bool((words[1:] == words[:-1]).any())
    import polars as pl

    return pl.Series(words).n_unique() < len(words)


def _together(words: Words) -> tuple[NDArray[np.int64], Words]:
    """Give the places of sorted words that stand more than once, and their groups from 1."""
    import numpy as np

    differ = np.concatenate([[True], words[1:] != words[:-1], [True]])
    together = ~(differ[1:] & differ[:-1])
    return np.flatnonzero(together), np.cumsum(differ[:-1][together], dtype=np.uint64)


def _words(
    table: pa.Table,
    names: Sequence[str],
    rows: NDArray[np.int64] | None = None,
    groups: Words | None = None,
) -> tuple[Words, list[int]]:
    """Put the numbers of as many columns as fit into words, and give how many bits each has.

    Args:
        table: Where the columns are.
        names: Those that are left.
        rows: Which rows; all as they came when not given.
        groups: The group of each, behind which its numbers stand.
    """
    import numpy as np

    words, spare = np.zeros(0, np.uint64), None
    widths: list[int] = []
    room = WORD - (int(groups[-1]).bit_length() if groups is not None else 0)
    few = rows is not None and len(rows) < table.num_rows // 2
    for name in names:
        found, most = numbers(table[name].take(rows) if few else table[name], spare)
        bits = most.bit_length()
        if widths and bits > room:
            break
        # One column always fits behind the group: neither has more than half a word.
        here = found if few or rows is None else found[rows]
        if widths:
            words <<= np.uint64(bits)
            words |= here
        else:
            words = here if groups is None else (groups << np.uint64(bits)) | here
        spare = spare if words is found else found
        room -= bits
        widths.append(bits)
    return words, widths


def _from_least(values: NDArray[Any]) -> Words:
    """Count from the least value, in the unit that all are multiples of, such as a minute.

    Where the values are as wide as a word they are counted in their place.
    """
    import numpy as np

    least = values.min().astype(np.uint64)
    wide = values.dtype.itemsize == WORD // 8 and values.flags.writeable
    found: Words = values.view(np.uint64) if wide else values.astype(np.uint64)
    found -= least
    unit = np.gcd.reduce(found[:1000])
    parts = np.array_split(found, len(found) // PART + 1)
    if unit > 1 and not any((part % unit).any() for part in parts):
        found //= unit
    return found


def _ascending(values: NDArray[Any]) -> Words:
    """Give the bits of floating numbers so that they ascend; NaN is one, and so is zero."""
    import numpy as np

    kind, sign = (np.uint32, 31) if values.dtype.itemsize == 4 else (np.uint64, 63)
    plain = np.where(np.isnan(values), np.array(np.nan, values.dtype), values + 0)
    bits: NDArray[Any] = plain.view(kind)
    top = kind(1 << sign)
    return np.where(bits & top, ~bits, bits | top).astype(np.uint64)
