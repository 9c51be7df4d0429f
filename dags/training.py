"""One DAG a pipeline: from a trigger to a champion, or to a reason why not."""

from __future__ import annotations

from airflow.sdk import DAG, Asset, PartitionedAssetTimetable
from ml_alerts.wiring import at_the_end, tell, when_failed
from ml_launch.operators import LaunchOperator, wire

from ml_tasks import config
from ml_tasks.flow import FLOWS

DOC = """\
Trains **{name}** for one trigger: `claim` takes it, `assemble` joins labels and features as they
were known, `train` fits, beside it `prove` looks for leaks and `baseline` fits plain models;
`evaluate` measures, `judge` holds the gates against it; `reference`, `register` and `promote`
follow only a verdict that passed.

It is started by `{name}__intake`, or by `{name}__monitoring` where that decided it; its partition
key is the trigger's id.
"""


def build(pipeline: config.Pipeline) -> DAG:
    """Order comes from the flow; the intake's event starts it."""
    with DAG(
        dag_id=f"{pipeline.name}__training",
        description=pipeline.description,
        doc_md=DOC.format(name=pipeline.name),
        tags=[pipeline.name, "training", *pipeline.tags],
        default_args={"owner": pipeline.owner, **when_failed(pipeline)},
        schedule=PartitionedAssetTimetable(assets=Asset(f"training_request({pipeline.name})")),
        catchup=False,
        max_active_runs=1,
        is_paused_upon_creation=False,
    ) as dag:
        tasks = {}
        for step in FLOWS["training"]:
            first = step.task == "claim"
            tasks[step.task] = LaunchOperator(
                pipeline=pipeline,
                step=step,
                trigger="{{ dag_run.partition_key or '' }}" if first else None,
                window_from=None if first else "claim",
                outlets=[Asset(f"champion({pipeline.name})")] if step.task == "promote" else [],
            )
        wire("training", tasks)
        at_the_end(tell(pipeline, "judge", "promote"), tasks["promote"])
    return dag


for one in config.load_good()[0]:
    globals()[f"{one.name}__training"] = build(one)
