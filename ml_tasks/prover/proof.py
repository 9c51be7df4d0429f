"""The proof: each cell of a set against what was known, and what each column tells alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from ml_tasks.gates.verdict import Leak, Leaks
from ml_tasks.prover.alone import told
from ml_tasks.prover.cells import differs, shown
from ml_tasks.prover.known import Found, micros, search, take

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from datetime import timedelta

    import pyarrow as pa
    from numpy.typing import NDArray

    from ml_tasks.prover.facts import Subject

    Bits = NDArray[np.bool_]
    Places = NDArray[np.int64]

ORDER = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True, slots=True)
class View:
    """A feature table with all its rows that may count, also later ones."""

    name: str
    keys: tuple[str, ...]
    features: tuple[str, ...]
    ttl: timedelta | None
    rows: pa.Table


@dataclass(frozen=True, slots=True)
class OnRequest:
    """Features that are computed from other features and from what is told with the question."""

    features: tuple[str, ...]
    needs: tuple[str, ...]
    """Features of views that they are made of."""
    compute: Callable[[pa.Table], pa.Table]


@dataclass(frozen=True, slots=True)
class _Wanted:
    """A column as it must be."""

    name: str
    cells: pa.ChunkedArray
    instead: Callable[[Places], list[tuple[str, pa.ChunkedArray]]] = lambda _: []
    """What a leak would show in some of the rows."""


def prove(subject: Subject, views: Iterable[View], request: OnRequest) -> Leaks:
    """Compare every cell that a model is given, and look at what each column tells alone."""
    made, leaks, names = subject.made, [*_asked_late(subject), *_parts(subject.made)], []
    for wanted in _wanted(subject, views, request):
        names.append(wanted.name)
        bad = differs(made[wanted.name], wanted.cells)
        if bad.any():
            leaks.append(_leak(subject, wanted, bad))
    for name in sorted({*made.column_names} - {*names, *subject.unseen}):
        names.append(name)
        evidence = "neither the label's source nor a feature view has such a column"
        leaks.append(Leak(column=name, kind="no origin", rows=len(made), evidence=evidence))
    strength, coincidence, alone = told(made, names, subject.outcomes, subject.with_label)
    known = {leak.column for leak in leaks}
    return Leaks(
        set_hash=subject.set_hash,
        rows=len(made),
        cells=len(made) * len(names),
        leaks=(*leaks, *(leak for leak in alone if leak.column not in known)),
        strength=strength,
        coincidence=coincidence,
    )


def _wanted(subject: Subject, views: Iterable[View], request: OnRequest) -> Iterator[_Wanted]:
    for name in subject.columns:
        yield _Wanted(name, subject.asked[name])
    told = subject.asked
    for view in views:
        found = search(
            view.rows,
            subject.asked,
            keys=view.keys,
            asked_at=micros(subject.made["asked_at"]),
            event_time=micros(view.rows["event_time"]),
            known_at=micros(view.rows["known_at"]),
            ttl=view.ttl,
        )
        then = take(view.rows.select(list(view.features)), found.known)
        for name in view.features:
            if name in subject.made.column_names:
                yield _Wanted(name, then[name], partial(_instead, view.rows[name], found))
            if name in request.needs:
                told = told.append_column(name, then[name])
    if request.features:
        computed = request.compute(told)
        for name in request.features:
            yield _Wanted(name, computed[name])


def _instead(
    rows: pa.ChunkedArray, found: Found, some: Places
) -> list[tuple[str, pa.ChunkedArray]]:
    leaks = {
        "late correction": found.corrected,
        "future row": found.following,
        "last row of all": found.last,
    }
    return [(kind, take(rows, places[some])) for kind, places in leaks.items()]


def _leak(subject: Subject, wanted: _Wanted, bad: Bits) -> Leak:
    """Say what the cells that are not as known then show instead."""
    some = np.flatnonzero(bad)
    came = subject.made[wanted.name].take(some)
    instead = wanted.instead(some)
    instead += [
        (f"own {name}", subject.outcomes[name].take(some)) for name in subject.outcomes.column_names
    ]
    equal = [(int((~differs(came, cells)).sum()), kind) for kind, cells in instead]
    most, kind = max(equal, default=(0, ""), key=lambda one: one[0])
    first = int(some[0])
    at = subject.made["asked_at"][first].as_py()
    return Leak(
        column=wanted.name,
        kind=kind if most > len(some) / 2 else "not as known then",
        rows=len(some),
        evidence=(
            f"{len(some)} of {len(bad)} rows are not as known when asked"
            + (f", {most} of them are the {kind}" if most else "")
            + f"; row {first}, asked {at:%Y-%m-%d %H:%M}: came "
            f"{shown(came[0].as_py())}, known was {shown(wanted.cells[first].as_py())}"
        ),
    )


def _asked_late(subject: Subject) -> list[Leak]:
    """Find rows that were asked nearer to their event than the pipeline says."""
    ahead = int(subject.ahead.total_seconds() * 1_000_000)
    left = micros(subject.made["event_time"]) - micros(subject.made["asked_at"])
    late = int((left < ahead).sum())
    evidence = f"{late} rows were asked later than {subject.ahead} before their event"
    return [Leak(column="asked_at", kind="asked late", rows=late, evidence=evidence)] * (late > 0)


def _parts(made: pa.Table) -> list[Leak]:
    """Find labels that were not known when the next part began."""
    part = made["split"].to_numpy(zero_copy_only=False)
    times, known = micros(made["event_time"]), micros(made["label_known_at"])
    leaks = []
    for place, name in enumerate(ORDER):
        own, then = part == name, np.isin(part, ORDER[place + 1 :])
        late = int((known[own] >= times[then].min()).sum()) if then.any() else 0
        if late:
            evidence = f"{late} labels of {name} became known after what follows it had begun"
            leaks.append(Leak(column="label", kind="late label", rows=late, evidence=evidence))
    return leaks
