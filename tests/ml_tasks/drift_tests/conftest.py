from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

CARRIERS = ("AA", "DL", "UA", "WN")


@pytest.fixture(scope="session")
def made() -> Callable[..., pa.Table]:
    """Make rows of numbers with gaps, texts and times, moved by `shift` standard deviations."""

    def make(rows: int, seed: int, shift: float = 0.0) -> pa.Table:
        dice = np.random.default_rng(seed)
        wind = dice.gamma(2.0, 3.0, rows) * (1 + shift)
        shares = np.array([0.4, 0.3, 0.2, 0.1]) + min(shift, 1) * np.array([-0.2, 0, 0, 0.2])
        return pa.table(
            {
                "delay": dice.normal(shift, 1.0, rows),
                "hour": dice.integers(0, 24, rows),
                "wind": pa.array(wind, mask=dice.random(rows) < 0.3),
                "carrier": pa.array(
                    dice.choice(CARRIERS, rows, p=shares), mask=dice.random(rows) < 0.05
                ),
                "event_time": pa.array(np.arange(rows) * 900, pa.timestamp("s", "UTC")),
            }
        )

    return make
