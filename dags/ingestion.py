"""One DAG a pipeline: a window from its source to the online store."""

from __future__ import annotations

from datetime import UTC, datetime, time

from airflow.sdk import DAG, Asset, CronPartitionTimetable
from ml_alerts.wiring import when_failed
from ml_launch.operators import LaunchOperator, wire

from ml_tasks import config
from ml_tasks.flow import FLOWS

DOC = """\
Brings one window of **{name}** in: `ingest` reads it, `validate` judges and publishes it, `derive`
makes the features, `materialise` brings them online.

The partition key is the window's first day. To load a range, start a **backfill**; a window that
comes again unchanged is no work.
"""


def build(pipeline: config.Pipeline) -> DAG:
    """Order comes from the flow, the schedule from the pipeline."""
    schedule = pipeline.schedule
    with DAG(
        dag_id=f"{pipeline.name}__ingestion",
        description=pipeline.description,
        doc_md=DOC.format(name=pipeline.name),
        tags=[pipeline.name, "ingestion", *pipeline.tags],
        default_args={"owner": pipeline.owner, **when_failed(pipeline)},
        schedule=CronPartitionTimetable(
            schedule.cron, timezone="UTC", run_offset=-1, key_format="%Y-%m-%d"
        ),
        start_date=datetime.combine(schedule.start, time(), UTC),
        # Without an end, switching the DAG on starts the window of this very week.
        end_date=None if schedule.end is None else datetime.combine(schedule.end, time(), UTC),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
    ) as dag:
        tasks = {}
        for step in FLOWS["ingestion"]:
            outlets = [Asset(f"features({pipeline.name})")] if step.task == "materialise" else []
            tasks[step.task] = LaunchOperator(
                pipeline=pipeline,
                step=step,
                key="{{ dag_run.partition_key or '' }}",
                outlets=outlets,
            )
        wire("ingestion", tasks)
    return dag


for one in config.load_good()[0]:
    globals()[f"{one.name}__ingestion"] = build(one)
