"""A multilayer perceptron with embeddings for categories."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import torch
from pydantic import Field
from torch import Tensor, nn

from ml_tasks.config.numbers import Few, Real
from ml_tasks.models.dropout import Dropout
from ml_tasks.models.params import ModelParams

if TYPE_CHECKING:
    from ml_tasks.models.spec import Spec

LIMIT = 4.0
"""Scaled inputs are cut off here: an outlier says no more than that it is one."""


class Params(ModelParams):
    """The network's shape."""

    hidden: tuple[Annotated[Few, Field(gt=0)], ...] = (128, 64)
    dropout: Real = Field(ge=0, lt=1, default=0.0)
    input_dropout: Real = Field(ge=0, lt=1, default=0.0)
    """Share of the numbers that training leaves out of a row: none may be leaned on alone."""
    embedding_dim: Few = Field(gt=0, default=8)


class Mlp(nn.Module):
    """Scales numbers, marks the missing ones, embeds codes; gives one raw output a row."""

    mean: Tensor
    scale: Tensor

    def __init__(self, params: Params, spec: Spec) -> None:
        """Make the layers; scales and vocabularies come from the training part."""
        super().__init__()
        self.register_buffer("mean", torch.tensor(spec.mean, dtype=torch.float32))
        self.register_buffer("scale", torch.tensor(spec.scale, dtype=torch.float32))
        self.embeddings = nn.ModuleList(
            nn.Embedding(len(words) + 1, params.embedding_dim) for words in spec.vocabularies
        )
        width = 2 * len(spec.numeric) + params.embedding_dim * len(spec.categorical)
        layers: list[nn.Module] = []
        for size in params.hidden:
            layers += [nn.Linear(width, size), nn.ReLU(), Dropout(params.dropout)]
            width = size
        self.left_out = Dropout(params.input_dropout)
        self.layers = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        """Give the raw output `[n]` for numbers `[n, k]` (NaN: missing) and codes `[n, m]`."""
        missing = torch.isnan(x)
        scaled = (torch.where(missing, self.mean, x) - self.mean) / self.scale
        parts = [self.left_out(scaled.clamp(-LIMIT, LIMIT)), missing.to(x.dtype)]
        parts += [table(codes[:, i]) for i, table in enumerate(self.embeddings)]
        out: Tensor = self.layers(torch.cat(parts, dim=1)).squeeze(1)
        return out


def build(params: Params, spec: Spec) -> nn.Module:
    """Make the network with PyTorch's usual initial weights."""
    return Mlp(params, spec)
