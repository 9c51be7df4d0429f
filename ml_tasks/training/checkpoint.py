"""Checkpoints: all that the rest of a training depends on, written whole."""

from __future__ import annotations

import io
import logging
from dataclasses import dataclass
from typing import Any

from ml_tasks.io import objects
from ml_tasks.io.content import bytes_hash

log = logging.getLogger(__name__)
KEPT = 2
DIGEST = 64
"""Characters of the hash that stands before the data."""


@dataclass(frozen=True, slots=True)
class Checkpoints:
    """A folder of checkpoints that belong to one training."""

    root: str
    """Where a run's lie: with other settings it is another training, with a folder of its own."""
    identity: str
    """Hash of everything that was fixed before: another training's checkpoints do not count."""

    @property
    def folder(self) -> str:
        """Where this training's lie; those of others are neither counted nor dropped."""
        return f"{self.root}/{self.identity[:12]}"

    def save(self, state: dict[str, Any]) -> None:
        """Write the state at its `epoch` and `step`, and drop all but the newest two."""
        import torch

        buffer = io.BytesIO()
        torch.save({**state, "identity": self.identity}, buffer)
        name = f"{state['epoch']:06}-{state['step']:08}.pt"
        data = buffer.getvalue()
        objects.write_bytes(f"{self.folder}/{name}", bytes_hash(data).encode() + data)
        for old in objects.find(self.folder)[:-KEPT]:
            objects.delete(old.uri)

    def newest(self) -> dict[str, Any] | None:
        """Give the newest state that can be read and belongs to this training."""
        for found in reversed(objects.find(self.folder)):
            state = _read(found.uri)
            if state is not None and state.get("identity") == self.identity:
                return state
        return None


def _read(uri: str) -> dict[str, Any] | None:
    """Load a checkpoint; one whose bytes are not what was written is passed over."""
    import torch

    try:
        content = objects.read_bytes(uri)
    except FileNotFoundError:
        log.info("checkpoint %s was dropped by an attempt that still runs", uri)
        return None
    written, data = content[:DIGEST], content[DIGEST:]
    if bytes_hash(data).encode() != written:
        log.warning("checkpoint %s is damaged and is passed over", uri)
        return None
    state: dict[str, Any] = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    return state
