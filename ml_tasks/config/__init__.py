"""The only readers of the pipelines' YAML and of the environment."""

from __future__ import annotations

from ml_tasks.config.environment import ROOT, Environment
from ml_tasks.config.files import load, load_all, load_good, parse
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
from ml_tasks.config.wording import explain

__all__ = [
    "OWN_TIMES",
    "ROOT",
    "ColumnType",
    "Environment",
    "Evaluation",
    "Features",
    "Gate",
    "Label",
    "Pipeline",
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
    "parse",
]
