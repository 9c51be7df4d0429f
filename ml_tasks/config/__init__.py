"""The only readers of YAML and of the environment."""

from __future__ import annotations

from ml_tasks.config.alerts import EVENTS, Channel, Email, Event, Slack, Webhook
from ml_tasks.config.environment import ROOT, Environment, named
from ml_tasks.config.files import (
    ENDING,
    hold,
    load,
    load_all,
    load_good,
    load_prices,
    names,
    parse,
    require,
    wrong_ending,
)
from ml_tasks.config.monitoring import Alarms, Drift, Monitoring, Policy, Retraining, Rollback
from ml_tasks.config.outside import Outside
from ml_tasks.config.pipeline import (
    OWN_TIMES,
    ColumnType,
    Evaluation,
    Features,
    Gate,
    Label,
    Pipeline,
    Slug,
    Source,
    Split,
    TaskResources,
    Training,
    Validation,
)
from ml_tasks.config.prices import NODE_TYPE, Price, Prices
from ml_tasks.config.schedule import Schedule
from ml_tasks.config.wording import explain, explain_variables

__all__ = [
    "ENDING",
    "EVENTS",
    "NODE_TYPE",
    "OWN_TIMES",
    "ROOT",
    "Alarms",
    "Channel",
    "ColumnType",
    "Drift",
    "Email",
    "Environment",
    "Evaluation",
    "Event",
    "Features",
    "Gate",
    "Label",
    "Monitoring",
    "Outside",
    "Pipeline",
    "Policy",
    "Price",
    "Prices",
    "Retraining",
    "Rollback",
    "Schedule",
    "Slack",
    "Slug",
    "Source",
    "Split",
    "TaskResources",
    "Training",
    "Validation",
    "Webhook",
    "explain",
    "explain_variables",
    "hold",
    "load",
    "load_all",
    "load_good",
    "load_prices",
    "named",
    "names",
    "parse",
    "require",
    "wrong_ending",
]
