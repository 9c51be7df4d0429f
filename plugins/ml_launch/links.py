"""Links on a task's tile; the server makes them when somebody looks, and tasks push nothing."""

from __future__ import annotations

from typing import Any, ClassVar

from airflow.sdk import BaseOperator, BaseOperatorLink

from ml_launch.command import slug
from ml_launch.operators import LaunchOperator

REPORTING = frozenset({"validate"})
"""Tasks that leave Data Docs."""


class RecordedRun(BaseOperatorLink):
    """Leads from a task's tile to its run in MLflow."""

    name = "MLflow run"
    operators: ClassVar[list[type[BaseOperator]]] = [LaunchOperator]

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002
        """Give the address of the page that looks the run up when it is opened."""
        pipeline, run = ti_key.dag_id.rpartition("__")[0], slug(ti_key.run_id)
        return f"/perennial/mlflow?pipeline={pipeline}&run={run}&task={ti_key.task_id}"


class DataDocs(BaseOperatorLink):
    """Leads from the tile of `validate` to what it found in the window."""

    name = "Data Docs"
    operators: ClassVar[list[type[BaseOperator]]] = [LaunchOperator]

    def get_link(self, operator: BaseOperator, *, ti_key: Any) -> str:  # noqa: ARG002
        """Give the address of the newest attempt's report; none for a task that leaves none."""
        if ti_key.task_id not in REPORTING:
            return ""
        pipeline, run = ti_key.dag_id.rpartition("__")[0], slug(ti_key.run_id)
        return f"/perennial/data-docs?pipeline={pipeline}&run={run}"
