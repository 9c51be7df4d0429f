"""Lightning's epoch and a bare loop's, in the peers' own environment: `lightning_epoch.py JSON`.

The network has the layers of `ml_tasks/models/mlp.py`, which that environment cannot import; its
dropout is that very file's, which needs PyTorch alone. Prints the seconds of each epoch of both.
"""

from __future__ import annotations

import json
import logging
import runpy
import sys
import time
import warnings
from typing import Any

import lightning
import torch
from torch import Tensor, nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

LIMIT = 4.0
Dropout = runpy.run_path("ml_tasks/models/dropout.py")["Dropout"]


class Network(nn.Module):
    """The layers of our network."""

    def __init__(self, told: dict[str, Any]) -> None:
        """Make the layers."""
        super().__init__()
        self.register_buffer("mean", torch.zeros(told["width"]))
        self.register_buffer("scale", torch.ones(told["width"]))
        size = told["embedding_dim"]
        self.embeddings = nn.ModuleList(nn.Embedding(words + 1, size) for words in told["words"])
        width, layers = 2 * told["width"] + size * len(told["words"]), []
        for hidden in told["hidden"]:
            layers += [nn.Linear(width, hidden), nn.ReLU(), Dropout(told["dropout"])]
            width = hidden
        self.left_out = Dropout(told["input_dropout"])
        self.layers = nn.Sequential(*layers, nn.Linear(width, 1))

    def forward(self, x: Tensor, codes: Tensor) -> Tensor:
        """Give the raw output `[n]`."""
        missing = torch.isnan(x)
        scaled = (torch.where(missing, self.mean, x) - self.mean) / self.scale
        parts = [self.left_out(scaled.clamp(-LIMIT, LIMIT)), missing.to(x.dtype)]
        parts += [table(codes[:, i]) for i, table in enumerate(self.embeddings)]
        return self.layers(torch.cat(parts, dim=1)).squeeze(1)


class Module(lightning.LightningModule):
    """What Lightning is told of the training."""

    def __init__(self, told: dict[str, Any]) -> None:
        """Make the network."""
        super().__init__()
        self.told, self.network = told, Network(told)

    def training_step(self, batch: tuple[Tensor, Tensor, Tensor], _number: int) -> Tensor:
        """Give a batch's loss."""
        x, codes, y = batch
        return functional.binary_cross_entropy_with_logits(self.network(x, codes), y)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Give the optimiser of the bare loop."""
        return optimiser(self.network, self.told)


def optimiser(network: nn.Module, told: dict[str, Any]) -> torch.optim.Optimizer:
    return torch.optim.AdamW(
        network.parameters(), lr=told["learning_rate"], weight_decay=told["weight_decay"],
        fused=True,
    )  # fmt: skip


def bare(told: dict[str, Any], data: tuple[Tensor, Tensor, Tensor]) -> None:
    network = Network(told)
    step, (x, codes, y) = optimiser(network, told), data
    for rows in torch.randperm(len(y)).split(told["batch"]):
        loss = functional.binary_cross_entropy_with_logits(network(x[rows], codes[rows]), y[rows])
        step.zero_grad()
        loss.backward()
        step.step()


def fitted(told: dict[str, Any], data: tuple[Tensor, Tensor, Tensor]) -> None:
    trainer = lightning.Trainer(
        max_epochs=1, accelerator="cpu", devices=1, logger=False, enable_checkpointing=False,
        enable_progress_bar=False, enable_model_summary=False,
    )  # fmt: skip
    loader = DataLoader(TensorDataset(*data), batch_size=told["batch"], shuffle=True)
    trainer.fit(Module(told), loader)


def main(told: dict[str, Any]) -> None:
    warnings.simplefilter("ignore")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    torch.set_num_threads(told["threads"])
    torch.use_deterministic_algorithms(mode=True)
    dice, rows = torch.Generator().manual_seed(1), told["rows"]
    data = (
        torch.randn(rows, told["width"], generator=dice),
        torch.stack([torch.randint(0, n + 1, (rows,), generator=dice) for n in told["words"]], 1),
        (torch.rand(rows, generator=dice) < 0.25).float(),
    )
    seconds: dict[str, list[float]] = {"lightning": [], "bare": []}
    for _ in range(told["repetitions"] + 1):
        for name, epoch in (("lightning", fitted), ("bare", bare)):
            began = time.perf_counter()
            epoch(told, data)
            seconds[name].append(time.perf_counter() - began)
    print(json.dumps({name: found[1:] for name, found in seconds.items()}))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
