"""One delivery of a source: a file or a query's answer, with the time it landed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    import pyarrow as pa

    from ml_tasks.result import Window


@dataclass(frozen=True, slots=True)
class BrokenRow:
    """A line that is not a row."""

    number: int
    text: str
    reason: str


@dataclass(frozen=True, slots=True)
class Delivery:
    """Raw rows as they came, not yet checked."""

    uri: str
    landed_at: datetime
    batches: tuple[pa.RecordBatch, ...] = ()
    covers: Window | None = None
    """The range that the address promises; `None` when it promises none."""
    broken: tuple[BrokenRow, ...] = ()
    fault: str | None = None
    """Why the delivery as a whole cannot be read."""
    as_text: Callable[[], Delivery] | None = None
    """Gives it again with its values as they came, where they were read as what was declared."""
