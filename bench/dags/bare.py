"""Eight tasks of Airflow's own that do nothing, one after another."""

from __future__ import annotations

from airflow.sdk import DAG, chain, task

with DAG(dag_id="bare", schedule=None, is_paused_upon_creation=False):

    @task
    def nothing() -> None:
        """Do nothing."""

    chain(*(nothing.override(task_id=f"step{number}")() for number in range(8)))
