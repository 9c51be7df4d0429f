"""Learning curves as a picture."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

PANELS = {
    "classification": (("train_loss", "log_loss"), ("roc_auc", "pr_auc"), ("ece", "brier")),
    "regression": (("train_loss",), ("mae", "rmse"), ("r2",)),
}
MARGINS = {"left": 0.05, "right": 0.99, "top": 0.96, "bottom": 0.15, "wspace": 0.18}
"""Of the panels, as shares of the picture's width and height."""


def png(history: Sequence[dict[str, float]], task: str, best_epoch: int) -> bytes:
    """Draw the metrics of each epoch; a line marks the best one."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 3.5))
    # Known ahead: to look for what fits takes as long as to draw.
    axes = figure.subplots(1, 3, gridspec_kw=MARGINS)
    epochs = [row["epoch"] for row in history]
    for axis, names in zip(axes, PANELS[task], strict=True):
        for name in names:
            axis.plot(epochs, [row[name] for row in history], marker=".", label=name)
        axis.axvline(best_epoch, color="0.7", linestyle="--", label="best epoch")
        axis.set_xlabel("epoch")
        axis.grid(alpha=0.3)
        axis.legend()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=110, metadata={"Software": None})
    return buffer.getvalue()
