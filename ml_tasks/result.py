"""What a task hands back: one small, versioned JSON document."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

RESULT, MEASURED = "result.json", "measured.json"
"""Files of an attempt: what its task leaves, and what its launcher saw of it."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Window(_Frozen):
    """A half-open range of event time, `[start, end)`, in UTC."""

    start: AwareDatetime
    end: AwareDatetime

    @classmethod
    def parse(cls, text: str) -> Window:
        """Read `2013-01-01/2013-01-08` (dates or ISO 8601 times; no zone means UTC).

        Raises:
            ValueError: The text is not two times with a slash between, in order.
        """
        start, slash, end = text.partition("/")
        if not slash:
            raise ValueError(
                f"window {text!r}: wanted START/END, for example 2013-01-01/2013-01-08"
            )
        try:
            window = cls(start=_utc(start), end=_utc(end))
        except (ValueError, OverflowError) as fault:
            raise ValueError(
                f"window {text!r}: {fault}; wanted START/END, for example 2013-01-01/2013-01-08"
            ) from fault
        if window.start >= window.end:
            raise ValueError(f"window {text!r}: the start must come before the end")
        return window

    def __str__(self) -> str:
        """Give `START/END`, dates where both are midnights."""
        return f"{_short(self.start)}/{_short(self.end)}"

    @property
    def slug(self) -> str:
        """A form that is safe in paths and labels."""
        return str(self).replace("/", "_").replace(":", "").replace("+", "")


def _utc(text: str) -> datetime:
    time = datetime.fromisoformat(text)
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


def _short(time: datetime) -> str:
    plain = time.astimezone(UTC)
    midnight = plain.hour == plain.minute == plain.second == plain.microsecond == 0
    return f"{plain:%Y-%m-%d}" if midnight else f"{plain:%Y-%m-%dT%H:%M:%SZ}"


class Output(_Frozen):
    """One thing that a task made visible: an object or a table's window.

    Many rows may lie in several objects: who reads rows goes by `parts`.
    """

    uri: str | None = None
    """Where the object lies, of several the first; `None` for a table."""
    table: str | None = None
    """The lake table's name, `namespace.table`; `None` for an object."""
    snapshot: int | None = None
    """The table's snapshot id after the publication."""
    content_hash: str
    """SHA-256 of the logical content; equal content gives equal hashes everywhere."""
    bytes_hash: str | None = None
    """SHA-256 of the object's bytes, of several the first's, where its reader proves them."""
    rows: int | None = None
    window: Window | None = None
    # Left out where there are none: who went back to an older release reads the result as well.
    more: dict[str, str] = Field(default_factory=dict, exclude_if=lambda more: not more)
    """Objects of the rows that follow, in order, and the SHA-256 of their bytes."""

    @property
    def parts(self) -> dict[str, str | None]:
        """All its objects in the order of their rows, with the SHA-256 of their bytes if known."""
        return {self.uri: self.bytes_hash, **self.more} if self.uri else {}


class Resources(_Frozen):
    """What a task used."""

    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0
    gpu_seconds: float = 0.0


class PodUse(_Frozen):
    """What a pod, or a tree of processes, took as its launcher saw it."""

    seconds: float
    """From the moment at which a node took it."""
    cpu_seconds: float = 0.0
    peak_memory_mb: float = 0.0


class Usage(_Frozen):
    """What a launcher saw of one attempt; it lies beside the result, or in its place."""

    schema_version: Literal[1] = 1
    started: AwareDatetime
    pods: dict[str, PodUse]
    """By the pod's id; those that the cluster took away are among them."""


class Failure(_Frozen):
    """Why a task did not finish."""

    kind: str
    """The error class's name."""
    message: str
    exit_code: int


class Result(_Frozen):
    """The outcome of one attempt of one task.

    `values` holds small facts by name (decisions, metrics, counts): what a reader of the
    result branches on or shows. Data never travels here, only the pointers in `outputs`.
    """

    schema_version: Literal[1] = 1
    task: str
    pipeline: str
    run: str
    attempt: int = 1
    window: Window | None = None
    inputs: dict[str, str] = Field(default_factory=dict)
    """By needed task: address of the result that it was given."""
    outputs: dict[str, Output] = Field(default_factory=dict)
    values: dict[str, Any] = Field(default_factory=dict)
    resources: Resources = Resources()
    circumstances: dict[str, str] = Field(default_factory=dict)
    """What the outputs may depend on beside the inputs: code, packages, settings, threads, CPU."""
    error: Failure | None = None
    started: AwareDatetime | None = None
    ended: AwareDatetime | None = None
