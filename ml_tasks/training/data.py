"""A training set as tensors on the device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from ml_tasks.models import spec as specs
from ml_tasks.training.loop import Part

if TYPE_CHECKING:
    import polars as pl

    from ml_tasks.models.spec import Spec


def part(rows: pl.DataFrame, spec: Spec, label: str, device: torch.device) -> Part:
    """Put rows on the device: numbers, codes, labels."""
    return Part(
        # A batch takes rows from all over: each of them is to lie in one place.
        x=torch.from_numpy(np.ascontiguousarray(specs.numbers(rows, spec.numeric))).to(device),
        codes=torch.from_numpy(specs.codes(rows, spec)).to(device),
        y=torch.from_numpy(rows[label].cast(float).to_numpy().astype("float32")).to(device),
    )
