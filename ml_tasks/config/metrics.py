"""Which way a metric is better, and which are bounded."""

from __future__ import annotations

LOWER_IS_BETTER = frozenset({"log_loss", "brier", "ece", "mae", "rmse"})

WITHIN_0_1 = frozenset(
    {"roc_auc", "pr_auc", "accuracy", "precision", "recall", "f1", "brier", "ece"}
)


def sign(metric: str) -> int:
    """Give 1 where a larger metric is better, -1 where a smaller one is."""
    return -1 if metric in LOWER_IS_BETTER else 1
