"""What the warm launcher imports ahead: libraries, then our own tasks, as long as they stay so."""

from __future__ import annotations

import contextlib
import importlib
import importlib.util
import logging
import os
import sys
import sysconfig

from ml_launch import ranks, variables

AHEAD = (
    "polars", "pandas", "pyarrow.parquet", "pyarrow.csv", "duckdb", "ibis", "ibis.backends.duckdb",
    "sqlalchemy", "alembic", "alembic.config", "alembic.command", "pyiceberg.catalog.sql",
    "pyiceberg.table", "pyiceberg.io.pyarrow", "pydantic_settings", "yaml", "jinja2",
    "great_expectations", "great_expectations.expectations", "feast", "feast.repo_operations",
    "feast.on_demand_feature_view", "feast.infra.offline_stores.offline_store",
    "feast.infra.online_stores.sqlite", "feast.infra.passthrough_provider",
    "feast.infra.compute_engines.local.compute", "feast.infra.registry.registry", "holidays",
    "holidays.countries", "psycopg", "redis", "redis.cluster", "hiredis", "mlflow", "onnxruntime",
    "sklearn.ensemble", "sklearn.impute", "sklearn.linear_model", "sklearn.compose",
    "sklearn.metrics", "matplotlib.figure", "matplotlib.backends.backend_agg",
    "torch._dynamo",  # each optimiser's first call does, for half of a short training
    ranks.AGENT,
)  # fmt: skip
OWN = ("ml_tasks", "feature_repo")
DETECTORS = "ml_tasks.drift_tests.detectors"
"""Imported late by whoever needs it, as each monitoring does; not where alibi-detect is not."""
log = logging.getLogger("ml_launch.warm")


def own_files() -> dict[str, int]:
    """Give when each file of ours, and what is installed, changed last, in nanoseconds."""
    # What is installed is part of what a task says of itself.
    installed = sysconfig.get_path("purelib")
    found = {installed: os.stat(installed).st_mtime_ns}  # noqa: PTH116
    for name in OWN:
        spec = importlib.util.find_spec(name)
        for folder in (spec and spec.submodule_search_locations) or ():
            for parent, _folders, files in os.walk(folder):
                for file in (os.path.join(parent, f) for f in files if f.endswith(".py")):  # noqa: PTH118
                    found[file] = os.stat(file).st_mtime_ns  # noqa: PTH116
    return found


def import_all() -> dict[str, int]:
    """Import libraries, then our tasks; say when our files had changed.

    A fault in what is ours is for the task to show.
    """
    found = own_files()
    os.environ.update(variables.WHERE_LOADED)
    try:
        importlib.import_module("feature_repo.quick_feast").install()
    except Exception:
        log.exception("Feast is imported as it is")
    for name in AHEAD:
        importlib.import_module(name)
    try:
        flows = importlib.import_module("ml_tasks.flow").FLOWS.values()
        tasks = {step.task for flow in flows for step in flow}
        for name in ("__main__", *sorted(tasks)):
            importlib.import_module(f"ml_tasks.{name}")
        with contextlib.suppress(ImportError):
            importlib.import_module(DETECTORS)
    except Exception:
        log.exception("our own modules are not imported ahead")
        forget_own()
    return found


def forget_own() -> None:
    """Let our modules be imported anew by whoever asks for them next."""
    for name in [n for n in sys.modules if n.partition(".")[0] in OWN]:
        del sys.modules[name]
