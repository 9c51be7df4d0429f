"""A small product: orders of a shop, of which some come back."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import polars as pl

if TYPE_CHECKING:
    from datetime import datetime
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

NAME = "returns"


def returns(orders: str, **sections: Any) -> dict[str, Any]:
    """Give its YAML but for split, training, evaluation and monitoring.

    Args:
        orders: Address of the folder with a folder for each delivery.
        **sections: What is added, or stands in the place of what is there.
    """
    return {
        "name": NAME,
        "description": "Will an order come back?",
        "owner": "shop",
        "schedule": {"cron": "0 0 * * 1", "start": "2024-01-01"},
        "sources": {
            "orders": {
                "kind": "parquet",
                "params": {"path": f"{orders}/*/*.parquet"},
                "key": ["id"],
                "event_time": "at",
                "known_at": ["at"],
                "columns": {
                    "id": "string", "at": "timestamp", "price": "float64", "shop": "string",
                    "returned": "bool",
                },
            }
        },
        "validation": {"tolerated_bad_share": 0.01},
        "features": {"columns": ["price", "shop"]},
        "label": {
            "source": "orders", "task": "classification", "expression": "returned",
            "known_at": "at", "asked_before_minutes": 0,
        },
        **sections,
    }  # fmt: skip


def lay_down(folder: Path, day: datetime, minutes: NDArray[np.int64], **columns: Any) -> None:
    """Lay down the orders of a day, which land when it is over."""
    place = folder / f"landed={day + timedelta(days=1):%Y-%m-%dT00:00:00}"
    place.mkdir(parents=True)
    times = {
        "id": [f"{day:%Y%m%d}-{n}" for n in range(len(minutes))],
        "at": [day + timedelta(minutes=int(m)) for m in minutes],
    }
    pl.DataFrame({**times, **columns}).with_columns(
        pl.col("at").cast(pl.Datetime("us", "UTC"))
    ).write_parquet(place / "orders.parquet")
