"""The place of this process among those that torchrun started."""

from __future__ import annotations

import os
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from torch import nn
    from torch.distributed import Store  # type: ignore[attr-defined]

Value = TypeVar("Value")


@dataclass(frozen=True, slots=True)
class Place:
    """Rank of this process, and how many there are, in all and on this machine."""

    rank: int
    local_rank: int
    world_size: int
    local_world_size: int = 1


@dataclass(slots=True)
class Meetings:
    """How many calls that need all processes this one has come to.

    All make the same calls in the same order: whoever has come to fewer is waited for.
    """

    count: int = 0


MEETINGS = Meetings()


def place() -> Place:
    """Read what torchrun has set; one process of one where it has not."""
    return Place(
        rank=int(os.environ.get("RANK", "0")),
        local_rank=int(os.environ.get("LOCAL_RANK", "0")),
        world_size=int(os.environ.get("WORLD_SIZE", "1")),
        local_world_size=int(os.environ.get("LOCAL_WORLD_SIZE", "1")),
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


def store() -> Store:
    """Give a way of its own to the store at which the group has met.

    Under torchrun its agent holds it, which no stuck process of the training stops.
    """
    from torch.distributed import TCPStore  # type: ignore[attr-defined]

    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    return TCPStore(address, port, is_master=False, wait_for_workers=False)


def alike(own: Place, model: nn.Module) -> None:
    """Give all processes of the group the weights of the first one."""
    import torch.distributed as dist

    MEETINGS.count += 1
    if own.world_size > 1:
        for tensor in model.state_dict().values():
            dist.broadcast(tensor, src=0)


def meet(own: Place) -> None:
    """Wait until all processes of the group are here."""
    import torch.distributed as dist

    MEETINGS.count += 1
    if own.world_size > 1:
        dist.barrier()


def gathered(own: Place, value: Value) -> list[Value]:
    """Give each process's value, in the order of ranks; all processes of the group must call."""
    import torch.distributed as dist

    MEETINGS.count += 1
    if own.world_size == 1:
        return [value]
    found: list[Any] = [None] * own.world_size
    dist.all_gather_object(found, value)
    return found
