"""What a column tells by itself: how well it ranks the label, and whether it is an outcome."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa

from ml_tasks.gates.verdict import Leak
from ml_tasks.prover.cells import numbers

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from numpy.typing import NDArray

    from ml_tasks.prover.cells import Numbers

SAMPLE = 20_000
"""Rows on which it is measured what a column tells; a copy shows in far fewer."""
NULLS = 0.5
"""Difference in the share of nulls from which on a column comes with the label."""
BINS = 64
ROWS_A_BIN = 40
PAIRS = 2_001
EXACT = 1e-9
"""Relative difference up to which an affine function of an outcome is that outcome."""
MOSTLY = 0.95
"""Share of rows from which on a column counts as a full copy."""
MANY = 10
"""With fewer distinct values two columns agree by chance."""
MONOTONE = 0.999
"""Rank correlation from which on a column counts as a monotone function of an outcome."""
FEW = 2_000
"""Rows that are enough to see a rank correlation."""
NEAR = (-2, -1, 1, 2)
"""Where the rows around lie."""
FEW_HITS = 4.0
"""So many hits may be chance though the rows around have none."""
BY_CHANCE = 6.0
"""Standard deviations up to which chance explains a coincidence."""


def told(
    made: pa.Table, names: Sequence[str], outcomes: pa.Table, with_label: Mapping[str, float]
) -> tuple[dict[str, float], dict[str, float], list[Leak]]:
    """Give how well each column ranks the label, how often it is an outcome, and full copies.

    Args:
        made: The set.
        names: Columns that the model is given.
        outcomes: What became known later, in the set's rows.
        with_label: By column: how much more often it is null where no label came.
    """
    rng = np.random.default_rng(0)
    few = np.sort(rng.permutation(len(made))[:SAMPLE])
    label = numbers(made["label"])[few]
    true = label > (0.5 if set(np.unique(label)) <= {0.0, 1.0} else np.median(label))
    later = {n: numbers(outcomes[n]) for n in outcomes.column_names if _ordered(outcomes[n])}
    some = {n: values[few] for n, values in later.items()}
    durations = {n for n in later if not pa.types.is_timestamp(outcomes[n].type)}
    around = [(o, [np.roll(o, by) for by in NEAR]) for o in later.values()]
    strengths, shares, leaks = {}, {}, []
    for name in names:
        ordered, column = _ordered(made[name]), numbers(made[name])
        strengths[name] = strength(column[few], true, named=not ordered)
        if not ordered:
            continue
        shares[name] = max((coincidence(column, *rows) for rows in around), default=0.0)
        source = copied(column[few], some, durations, rng)
        if source:
            leaks.append(
                _leak(
                    name, made, f"own {source}",
                    f"a function of the row's own {source}, which features.known does not name",
                )
            )  # fmt: skip
    leaks += [
        _leak(name, made, "comes with the label", f"null {more:.0%} more often where no label came")
        for name, more in with_label.items()
        if more > NULLS
    ]
    return strengths, shares, leaks


def _leak(name: str, made: pa.Table, kind: str, what: str) -> Leak:
    return Leak(column=name, kind=kind, rows=len(made), evidence=f"it is {what}")


def _ordered(column: pa.ChunkedArray) -> bool:
    kind = column.type
    return not (
        pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind)
    )


def auc(score: Numbers, label: NDArray[np.bool_]) -> float:
    """Give the area under the ROC curve; one half where the labels are all the same."""
    ups, downs = int(label.sum()), int((~label).sum())
    if not ups or not downs:
        return 0.5
    return float((ranks(score)[label].sum() - ups * (ups - 1) / 2) / (ups * downs))


def ranks(values: Numbers) -> Numbers:
    """Give each value's rank from 0; equal ones share their mean."""
    _, index, counts = np.unique(values, return_inverse=True, return_counts=True)
    return np.asarray((np.cumsum(counts) - (counts + 1) / 2)[index])


def strength(column: Numbers, label: NDArray[np.bool_], *, named: bool) -> float:
    """Give the AUC of the best that can be made of one column alone, whatever its direction.

    The column is cut into bins and a bin's share of true labels is learned on one half of the
    rows and held against the other, so that neither a curve that turns, nor a text, nor the
    absence of a value hides what it says, and a column of distinct values says nothing.

    Args:
        column: The values, or numbers that stand for names.
        label: What is ranked.
        named: Whether the numbers stand for names, which have no order.
    """
    direct = 0.5 if named else auc(np.nan_to_num(column, nan=-np.inf), label)
    bins = np.nan_to_num(column, nan=column.size).astype(int) if named else _bins(column)
    halves = [np.arange(len(column)) % 2 == half for half in (0, 1)]
    crossed = [auc(_share(bins, label, fit)[bins[~fit]], label[~fit]) for fit in halves]
    return max(direct, 1 - direct, float(np.mean(crossed)))


def copied(
    column: Numbers,
    outcomes: Mapping[str, Numbers],
    durations: Collection[str],
    rng: np.random.Generator,
) -> str:
    """Name the outcome that a column copies, exactly, by an affine or a monotone function.

    Args:
        column: The values.
        outcomes: What became known later, by name.
        durations: Outcomes that are no moments: what is planned foretells the order of moments.
        rng: Draws pairs of rows.
    """
    for name, outcome in outcomes.items():
        both = np.isfinite(column) & np.isfinite(outcome)
        c, o = column[both], outcome[both]
        if both.sum() < MANY * MANY or len(np.unique(o[: 50 * MANY])) < MANY:
            continue
        if _affine(c, o, rng) > MOSTLY or (name in durations and _monotone(c[:FEW], o[:FEW])):
            return name
    return ""


def coincidence(column: Numbers, outcome: Numbers, around: Sequence[Numbers]) -> float:
    """Give the share of cells that are the row's own outcome beyond chance, or 0.

    Chance is how often it is the outcome of a row around, of the same time: a feature that
    foretells outcomes is near either.
    """
    own = int(np.count_nonzero(column == outcome))
    near = float(np.mean([np.count_nonzero(column == other) for other in around]))
    beyond = own - near
    return beyond / len(column) if beyond > BY_CHANCE * np.sqrt(max(FEW_HITS, near)) else 0.0


def _affine(c: Numbers, o: Numbers, rng: np.random.Generator) -> float:
    """Give the share of rows in which `c` is one affine function of `o`."""
    one, two = rng.integers(0, len(o), (2, PAIRS))
    apart = o[one] != o[two]
    if not apart.any():
        return 0.0
    slope = np.median((c[one] - c[two])[apart] / (o[one] - o[two])[apart])
    if slope == 0:
        return 0.0
    rest = c - slope * o
    scale = np.abs(c).max() + abs(slope) * np.abs(o).max()
    return float(np.mean(np.abs(rest - np.median(rest)) <= EXACT * scale))


def _monotone(c: Numbers, o: Numbers) -> bool:
    one, two = ranks(c), ranks(o)
    spread = one.std() * two.std()
    mean = (one - one.mean()) @ (two - two.mean()) / len(one)
    return bool(spread > 0 and abs(mean) / spread > MONOTONE)


def _bins(column: Numbers) -> NDArray[np.int64]:
    """Number a column's quantiles, or its values where they are few; the last is for NaN."""
    known = column[np.isfinite(column)]
    if not len(known):
        return np.zeros(len(column), np.int64)
    number = max(2, min(BINS, len(column) // ROWS_A_BIN))
    edges = np.unique(np.quantile(known, np.linspace(0, 1, number + 1)[1:-1], method="lower"))
    bins = np.searchsorted(edges, column, side="left")
    return np.where(np.isfinite(column), bins, len(edges) + 1)


def _share(bins: NDArray[np.int64], label: NDArray[np.bool_], fit: NDArray[np.bool_]) -> Numbers:
    """Give each bin's share of true labels, drawn to the mean where rows are few."""
    size = int(bins.max()) + 1
    counts = np.bincount(bins[fit], minlength=size)
    ups = np.bincount(bins[fit], weights=label[fit], minlength=size)
    return np.asarray((ups + label[fit].mean() * 2) / (counts + 2))
