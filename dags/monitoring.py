"""One DAG a pipeline: each new window is scored, watched, and may ask for a training."""

from __future__ import annotations

from typing import Any

from airflow.sdk import DAG, Asset, PartitionedAssetTimetable, task
from ml_alerts.wiring import at_the_end, tell, when_failed
from ml_launch.operators import LaunchOperator, wire

from ml_tasks import config
from ml_tasks.flow import FLOWS

DOC = """\
Watches the champion of **{name}** in each window that came in: `score` predicts its rows, `monitor`
measures what is known of the truth and how far the window lies from what the champion learned from,
`decide` holds the policies against that. `ask` starts the training that was decided, if one was;
`announce` says that the champion before is champion again, if the new one was worse.

It is started by `{name}__ingestion`; its partition key is the window's first day. Without a
champion, or in windows that it learned from, there is nothing to do.
"""


def build(pipeline: config.Pipeline) -> DAG:
    """Order comes from the flow; a window that came in starts it."""
    request = Asset(f"training_request({pipeline.name})")
    champion = Asset(f"champion({pipeline.name})")
    with DAG(
        dag_id=f"{pipeline.name}__monitoring",
        description=f"Watches the champion of {pipeline.name}.",
        doc_md=DOC.format(name=pipeline.name),
        tags=[pipeline.name, "monitoring", *pipeline.tags],
        default_args={"owner": pipeline.owner, **when_failed(pipeline)},
        schedule=PartitionedAssetTimetable(assets=Asset(f"features({pipeline.name})")),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
    ) as dag:
        tasks = {}
        for step in FLOWS["monitoring"]:
            tasks[step.task] = LaunchOperator(
                pipeline=pipeline, step=step, key="{{ dag_run.partition_key or '' }}"
            )

        @task(outlets=[request], doc_md="Start the training that was decided, if one was.")
        def ask(decided: Any, outlet_events: Any = None) -> str:
            from ml_launch.decided import decided_trigger

            trigger = decided_trigger(decided)
            outlet_events[request].add_partitions([trigger])
            return trigger

        @task(
            inlets=[champion],
            outlets=[champion],
            doc_md="Say that the champion before is champion again, if it is.",
        )
        def announce(decided: Any, inlet_events: Any = None, outlet_events: Any = None) -> str:
            from ml_launch.decided import decided_rollback

            told = [event.extra for event in inlet_events[champion]]
            key, extra = decided_rollback(decided, told)
            outlet_events[champion].extra.update(extra)
            outlet_events[champion].add_partitions([key])
            return key

        wire("monitoring", tasks)
        asked = ask(tasks["decide"].output)
        announce(tasks["decide"].output)
        at_the_end(tell(pipeline, "decide"), tasks["record"], asked)
    return dag


for one in config.load_good()[0]:
    globals()[f"{one.name}__monitoring"] = build(one)
