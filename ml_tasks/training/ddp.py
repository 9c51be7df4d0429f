"""The place of this process among those that torchrun started."""

from __future__ import annotations

import os
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Place:
    """Rank of this process, and how many there are."""

    rank: int
    local_rank: int
    world_size: int


def place() -> Place:
    """Read what torchrun has set; one process of one where it has not."""
    return Place(
        rank=int(os.environ.get("RANK", "0")),
        local_rank=int(os.environ.get("LOCAL_RANK", "0")),
        world_size=int(os.environ.get("WORLD_SIZE", "1")),
    )


def is_first() -> bool:
    """Tell whether this process writes what all of them made."""
    return place().rank == 0
