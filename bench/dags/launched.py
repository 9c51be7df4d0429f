"""Eight tasks of ours that have nothing left to do, one after another."""

from __future__ import annotations

from airflow.sdk import DAG, TaskGroup, chain
from ml_launch.operators import LaunchOperator

from ml_tasks import config
from ml_tasks.flow import step

PIPELINE = config.load("flight_delays")

with DAG(dag_id="launched", schedule=None, is_paused_upon_creation=False):
    tasks = []
    for number in range(8):
        with TaskGroup(f"step{number}"):
            tasks.append(
                LaunchOperator(
                    pipeline=PIPELINE,
                    step=step("claim"),
                    trigger="{{ dag_run.conf['trigger'] }}",
                )
            )
    chain(*tasks)
