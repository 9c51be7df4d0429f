"""The place of this process among those that torchrun started."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch

Value = TypeVar("Value")


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


@contextmanager
def group(own: Place) -> Iterator[torch.device]:
    """Join the other processes for a block: NCCL on GPUs, gloo on CPUs; give this one's device."""
    import torch
    import torch.distributed as dist

    gpu = torch.cuda.is_available()
    device = torch.device("cuda", own.local_rank) if gpu else torch.device("cpu")
    if gpu:
        torch.cuda.set_device(device)
    if own.world_size > 1:
        dist.init_process_group("nccl" if gpu else "gloo")
    try:
        yield device
    finally:
        if own.world_size > 1:
            dist.destroy_process_group()


def gathered(own: Place, value: Value) -> list[Value]:
    """Give each process's value, in the order of ranks; all processes of the group must call."""
    import torch.distributed as dist

    if own.world_size == 1:
        return [value]
    found: list[Any] = [None] * own.world_size
    dist.all_gather_object(found, value)
    return found
