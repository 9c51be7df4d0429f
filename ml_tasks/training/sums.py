"""What the processes of a training add up in each step."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.training.ddp import MEETINGS, Place
from ml_tasks.training.neighbours import neighbours

if TYPE_CHECKING:
    from torch import nn


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
