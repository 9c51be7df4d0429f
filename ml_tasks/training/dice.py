"""Random numbers that depend on where a training stands, and on nothing that came before."""

from __future__ import annotations

import torch


def sow(device: torch.device, *parts: int) -> None:
    """Seed what a device draws from; `torch.manual_seed` would ask every kind of device there is.

    Args:
        device: Where the numbers are drawn.
        parts: Such as seed, epoch, step and rank.
    """
    seed = _mixed(parts)
    torch.default_generator.manual_seed(seed)
    if device.type == "cuda":
        torch.cuda.manual_seed(seed)


def generator(*parts: int) -> torch.Generator:
    """Give a generator of its own, on the CPU."""
    return torch.Generator().manual_seed(_mixed(parts))


def _mixed(parts: tuple[int, ...]) -> int:
    mixed = 0
    for part in parts:
        mixed = (mixed * 1_000_003 + part + 1) % 2**63
    return mixed
