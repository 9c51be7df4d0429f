"""Which way a metric is better."""

from __future__ import annotations

LOWER_IS_BETTER = frozenset({"log_loss", "brier", "ece", "mae", "rmse"})

SHARES = frozenset({"roc_auc", "pr_auc", "accuracy", "precision", "recall", "f1", "brier", "ece"})
"""Those that lie between 0 and 1."""


def sign(metric: str) -> int:
    """Give 1 where a larger metric is better, -1 where a smaller one is."""
    return -1 if metric in LOWER_IS_BETTER else 1
