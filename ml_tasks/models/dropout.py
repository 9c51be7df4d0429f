"""Dropout that is fast on a CPU, too; needs PyTorch alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Dropout(nn.Dropout):
    """Leaves values out by `rand`: on a CPU PyTorch's own `bernoulli_` takes four times as long."""

    def forward(self, values: Tensor) -> Tensor:
        """Give the values, in training without a share of them."""
        if not self.training or not self.p or values.device.type != "cpu":
            return super().forward(values)
        kept = 1 - self.p
        return values * torch.rand_like(values).lt_(kept).div_(kept)
