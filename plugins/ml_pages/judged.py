"""What trainings came to: the verdicts that their runs left among the objects."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from ml_tasks.errors import PerennialError
from ml_tasks.io import objects, runs

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_tasks.config import Environment
    from ml_tasks.io.control import Trigger
    from ml_tasks.result import Result

AT_ONCE = 8
"""Runs that are read at the same time: a store answers each after some milliseconds."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """A metric with its 95 % interval and standard error, as far as they are known."""

    value: float
    low: float | None
    high: float | None
    error: float | None

    @classmethod
    def read(cls, told: Mapping[str, Any]) -> Bounds:
        """Read what an evaluation says of a metric."""
        rest = (_finite(told.get(name)) for name in ("low", "high", "error"))
        return cls(float(told["value"]), *rest)


@dataclass(frozen=True, slots=True)
class Gate:
    """What one gate said."""

    name: str
    passed: bool
    measured: float | None
    threshold: str
    evidence: str


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What a run of the training flow left."""

    run: str
    version: str | None = None
    semantic: str | None = None
    learned: tuple[str, str] | None = None
    """The window, validation and test part included."""
    rows: int | None = None
    against: str | None = None
    """Version of the champion that it was judged against."""
    passed: bool | None = None
    """`None` where it did not come so far."""
    gates: tuple[Gate, ...] = ()
    metrics: dict[str, Bounds] = field(default_factory=dict)
    """On its own test range."""
    segments: dict[str, dict[str, Bounds]] = field(default_factory=dict)
    missing: str | None = None
    """Why nothing is known, where it is not."""

    def reference(self, metric: str, segment: str = "") -> Bounds | None:
        """Give what a metric was when the version was judged, on all rows or on a segment."""
        return (self.segments.get(segment, {}) if segment else self.metrics).get(metric)


def all_of(environment: Environment, asked: Sequence[Trigger]) -> dict[str, Judged]:
    """Give what the trainings of some triggers came to, by run."""

    def read(trigger: Trigger) -> Judged:
        return of(environment, trigger.pipeline, trigger.run or "", trigger.outcome)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        return {one.run: one for one in pool.map(read, (t for t in asked if t.run is not None))}


def of(environment: Environment, pipeline: str, run: str, outcome: str | None) -> Judged:
    """Give what a run came to; what has ended is read once.

    Args:
        environment: Where objects are.
        pipeline: The product.
        run: Name of the run.
        outcome: What the ledger says of it; `None` while it goes on.
    """
    try:
        if outcome is None:
            return _read(environment, pipeline, run)
        return _ended(environment, pipeline, run, outcome)
    except (PerennialError, FileNotFoundError) as fault:
        return Judged(run=run, missing=str(fault))


@lru_cache(maxsize=512)
def _ended(environment: Environment, pipeline: str, run: str, _outcome: str) -> Judged:
    return _read(environment, pipeline, run)


def _read(environment: Environment, pipeline: str, run: str) -> Judged:
    found = runs.results(environment, pipeline, run)
    if not found:
        return Judged(run=run, missing="its objects are not there")
    values = {task: result.values for task, result in found.items()}
    judged, registered = values.get("judge", {}), values.get("register", {})
    measured = _measured(found.get("evaluate"))
    window = found["assemble"].window if "assemble" in found else None
    return Judged(
        run=run,
        version=registered.get("version"),
        semantic=registered.get("semantic_version"),
        learned=None if window is None else (window.start.isoformat(), window.end.isoformat()),
        rows=_rows(values.get("assemble", {}).get("rows")),
        against=values.get("evaluate", {}).get("champion"),
        passed=judged.get("passed"),
        gates=tuple(_gate(told) for told in judged.get("gates", ())),
        metrics=_bounds(measured.get("metrics", {})),
        segments={part["name"]: _bounds(part["metrics"]) for part in measured.get("segments", ())},
    )


def _measured(evaluated: Result | None) -> dict[str, Any]:
    output = evaluated.outputs.get("evaluation") if evaluated is not None else None
    if output is None or output.uri is None:
        return {}
    read: dict[str, Any] = json.loads(objects.read_text(output.uri))
    return read


def _bounds(metrics: Mapping[str, Mapping[str, Any]]) -> dict[str, Bounds]:
    known = {name: told for name, told in metrics.items() if _finite(told["value"]) is not None}
    return {name: Bounds.read(told) for name, told in known.items()}


def _gate(told: Mapping[str, Any]) -> Gate:
    return Gate(
        told["gate"],
        told["passed"],
        _finite(told["measured"]),
        told["threshold"],
        told["evidence"],
    )


def _rows(told: Any) -> int | None:
    """Sum the rows up, which are told by part of the split."""
    return sum(told.values()) if isinstance(told, dict) else told


def _finite(value: Any) -> float | None:
    """Give a number; what could not be measured is written as the text `NaN`."""
    return None if value is None or not math.isfinite(float(value)) else float(value)
