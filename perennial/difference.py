"""Finds where two runs of one flow part: the task, the output, the column or tensor, and why."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_tasks.io import circumstances, objects, parquet
from ml_tasks.io.content import content_hash
from ml_tasks.io.lake import Lake

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    import polars as pl
    import pyarrow as pa

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.result import Output, Result

OF_THE_RUN = {("train", "usage")}
"""Outputs that measure the run itself."""
LINEAGE = ("run",)
FEW = 8
"""How many packages are named."""


@dataclass(frozen=True)
class Side:
    """One of two runs: what it is called, where its state lies, what its tasks handed back."""

    name: str
    environment: Environment
    pipeline: Pipeline
    results: Mapping[str, Result]
    """By flow and task, in their order."""


@dataclass(frozen=True, slots=True)
class Compared:
    """One output of a task on both sides."""

    task: str
    output: str
    left: Output | None
    right: Output | None

    @property
    def equal(self) -> bool:
        """Whether both are there with equal content."""
        if self.left is None or self.right is None:
            return False
        return self.left.content_hash == self.right.content_hash


def outputs(left: Side, right: Side) -> list[Compared]:
    """Lay the outputs of both sides beside each other, in the order of tasks."""
    found = []
    for task in left.results:
        ours, theirs = (side.results[task].outputs for side in (left, right))
        found += [
            Compared(task, name, ours.get(name), theirs.get(name))
            for name in {**ours, **theirs}
            if (task.rpartition(" ")[2], name) not in OF_THE_RUN
        ]
    return found


def why(task: str, left: Side, right: Side) -> list[str]:
    """Say what around a task differs; where nothing does, the data must."""
    ours, theirs = (side.results[task].circumstances for side in (left, right))
    said = []
    for name in {**ours, **theirs}:
        one, other = ours.get(name, "-"), theirs.get(name, "-")
        if one != other:
            said += _named(name, one, other, left, right) or [_sides(name, one, other, left, right)]
    return said or ["code, packages, settings, threads and CPU are equal: the data came otherwise"]


def _sides(what: str, one: object, other: object, left: Side, right: Side) -> str:
    return f"{what}: {one} on {left.name}, {other} on {right.name}"


def _named(name: str, one: str, other: str, left: Side, right: Side) -> list[str]:
    """Name what is behind two hashes, as far as it is known here."""
    if name == "settings":
        settings, others = (side.pipeline.model_dump(mode="json") for side in (left, right))
        return [_sides(*parted, left, right) for parted in _parted(settings, others)]
    if name != "packages":
        return []
    lists = [
        circumstances.packages(side.environment.objects_root, digest)
        for side, digest in ((left, one), (right, other))
    ]
    if None in lists:
        return []
    ours, theirs = (found or {} for found in lists)
    names = sorted(n for n in {**ours, **theirs} if ours.get(n) != theirs.get(n))
    said = [
        _sides(f"package {n}", ours.get(n, "-"), theirs.get(n, "-"), left, right) for n in names
    ]
    return [*said[:FEW], *([f"{len(said) - FEW} more packages"] if len(said) > FEW else [])]


def detail(one: Compared, left: Side, right: Side) -> str:
    """Name the first column, tensor or place in which an output differs."""
    if one.left is None or one.right is None:
        return f"only {right.name if one.left is None else left.name} has it"
    kind = _kind(one.left)
    ours, theirs = kind(one.left, left.environment), kind(one.right, right.environment)
    if kind is _weights:
        return _tensors(ours, theirs)
    if kind is _document:
        return _places(ours, theirs)
    if kind is _bytes:
        return f"{len(ours)} bytes on {left.name}, {len(theirs)} on {right.name}"
    return _columns(ours, theirs, left.name, right.name)


def _kind(output: Output) -> Callable[[Output, Environment], Any]:
    if output.table is not None:
        return _table
    suffix = (output.uri or "").rpartition(".")[2]
    return {"parquet": _parquet, "json": _document, "pt": _weights}.get(suffix, _bytes)


def _table(output: Output, environment: Environment) -> pa.Table:
    assert output.table is not None  # noqa: S101 - what the kind was chosen by
    return Lake(environment).read(output.table, window=output.window, snapshot=output.snapshot)


def _parquet(output: Output, _environment: Environment) -> pa.Table:
    return parquet.read_parts(output.parts)


def _document(output: Output, _environment: Environment) -> Any:
    return json.loads(objects.read_bytes(str(output.uri)))


def _bytes(output: Output, _environment: Environment) -> bytes:
    return objects.read_bytes(str(output.uri))


def _weights(output: Output, _environment: Environment) -> dict[str, Any]:
    import torch

    loaded = torch.load(io.BytesIO(_bytes(output, _environment)), weights_only=True)
    weights: dict[str, Any] = loaded["weights"]
    return weights


def _tensors(ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> str:
    for name in {**ours, **theirs}:
        if name not in ours or name not in theirs:
            return f"tensor {name} is there on one side alone"
        one, other = ours[name], theirs[name]
        if one.shape != other.shape:
            return f"tensor {name} is {list(one.shape)} and {list(other.shape)}"
        apart = (one != other).sum().item()
        if apart:
            most = (one.double() - other.double()).abs().max().item()
            return (
                f"tensor {name} differs in {apart} of {one.numel()} values, by {most:.3g} at most"
            )
    return "the weights are equal; what is written beside them differs"


def _places(ours: Any, theirs: Any) -> str:
    """Name the first place at which two documents part."""
    first = next(_parted(ours, theirs), None)
    if first is None:
        return "the values are equal, and are written otherwise: order of keys, form of numbers"
    place, one, other = first
    return f"{place or 'the document'}: {one} and {other}"


def _parted(ours: Any, theirs: Any, place: str = "") -> Iterator[tuple[str, str, str]]:
    """Give each place at which two documents part, and what stands there."""
    if isinstance(ours, dict) and isinstance(theirs, dict):
        for key in {**ours, **theirs}:
            yield from _parted(ours.get(key), theirs.get(key), f"{place}.{key}" if place else key)
    elif isinstance(ours, list) and isinstance(theirs, list) and len(ours) == len(theirs):
        for number, (one, other) in enumerate(zip(ours, theirs, strict=True)):
            yield from _parted(one, other, f"{place}[{number}]")
    elif ours != theirs:
        yield place, _short(ours), _short(theirs)


def _columns(ours: pa.Table, theirs: pa.Table, left: str, right: str) -> str:
    """Name the first column whose values differ, with an example."""
    names = [name for name in ours.column_names if name not in LINEAGE]
    if lone := sorted({*names} ^ {n for n in theirs.column_names if n not in LINEAGE}):
        return f"column {lone[0]} is there on one side alone"
    if ours.num_rows != theirs.num_rows:
        return f"{ours.num_rows} rows on {left}, {theirs.num_rows} on {right}"
    apart = [n for n in names if content_hash(ours.select([n])) != content_hash(theirs.select([n]))]
    if not apart:
        return "each column has equal values, but rows combine them otherwise"
    first, keys = apart[0], [n for n in names if n not in apart]
    one, other = (_sorted(table, keys).get_column(first) for table in (ours, theirs))
    differs = one.ne_missing(other)
    at = differs.arg_max() or 0
    more = f"; so do {', '.join(apart[1:])}" if apart[1:] else ""
    return (
        f"column {first} differs in {differs.sum()} of {len(one)} rows, such as {_short(one[at])} "
        f"and {_short(other[at])}{more}"
    )


def _sorted(table: pa.Table, keys: Sequence[str]) -> pl.DataFrame:
    import polars as pl

    frame = pl.DataFrame(pl.from_arrow(table))
    return frame.sort(keys, nulls_last=False, maintain_order=True) if keys else frame


def _short(value: object) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:80]}…"
