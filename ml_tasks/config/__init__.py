"""The only readers of YAML and of the environment."""

from __future__ import annotations

from ml_tasks.config.environment import ROOT, Environment
from ml_tasks.config.files import load, load_all, load_good, load_prices, parse
from ml_tasks.config.monitoring import Alarms, Drift, Monitoring, Policy, Retraining, Rollback
from ml_tasks.config.pipeline import (
    OWN_TIMES,
    ColumnType,
    Evaluation,
    Features,
    Gate,
    Label,
    Pipeline,
    Schedule,
    Slug,
    Source,
    Split,
    TaskResources,
    Training,
    Validation,
)
from ml_tasks.config.prices import NODE_TYPE, Price, Prices
from ml_tasks.config.wording import explain

__all__ = [
    "NODE_TYPE",
    "OWN_TIMES",
    "ROOT",
    "Alarms",
    "ColumnType",
    "Drift",
    "Environment",
    "Evaluation",
    "Features",
    "Gate",
    "Label",
    "Monitoring",
    "Pipeline",
    "Policy",
    "Price",
    "Prices",
    "Retraining",
    "Rollback",
    "Schedule",
    "Slug",
    "Source",
    "Split",
    "TaskResources",
    "Training",
    "Validation",
    "explain",
    "load",
    "load_all",
    "load_good",
    "load_prices",
    "parse",
]
