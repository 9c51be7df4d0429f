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


class Sums:
    """Adds up the gradients of all processes, and a few numbers beside them, in one call a step.

    DistributedDataParallel sends the model's buffers before each batch and gradients in buckets
    after it: for networks of this size that takes longer than to learn from the batch.
    """

    def __init__(self, own: Place, model: nn.Module, numbers: int) -> None:
        """Give the gradients one place in memory.

        Args:
            own: This process among all.
            model: What is trained, on its device.
            numbers: How many numbers are added up beside the gradients.
        """
        import torch

        from ml_tasks.training.neighbours import neighbours

        learned = [weights for weights in model.parameters() if weights.requires_grad]
        size = sum(weights.numel() for weights in learned)
        self._all = torch.zeros(size + numbers, device=learned[0].device)
        start = 0
        for weights in learned:
            end = start + weights.numel()
            weights.grad = self._all[start:end].view_as(weights)
            start = end
        self._numbers = self._all[size:]
        self._many = own.world_size > 1
        on_cpus = self._many and self._all.device.type == "cpu"
        near = on_cpus and own.local_world_size == own.world_size
        self._neighbours = neighbours(own, len(self._all)) if near else None
        apart = on_cpus and self._neighbours is None
        self._parts = self._all.new_zeros(own.world_size, len(self._all)) if apart else None

    def __enter__(self) -> Sums:
        """Give itself."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave the other processes."""
        if self._neighbours is not None:
            self._neighbours.close()

    def clear(self) -> None:
        """Set all to 0, as before each batch."""
        self._all.zero_()

    def over_all(self, *numbers: float) -> list[float]:
        """Put the sums over all processes in place of the gradients; give those of the numbers."""
        import torch
        import torch.distributed as dist

        self._numbers.copy_(torch.tensor(numbers))
        MEETINGS.count += 1
        if self._neighbours is not None:
            self._neighbours.add_up(self._all)
        elif self._parts is not None:
            # Added up in the order of ranks, as neighbours do: the same bits wherever they run.
            dist.all_gather(list(self._parts.unbind()), self._all)
            torch.sum(self._parts, dim=0, out=self._all)
        elif self._many:
            dist.all_reduce(self._all)
        found: list[float] = self._numbers.tolist()
        return found
