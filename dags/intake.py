"""One DAG a pipeline: every wish to train that comes from outside goes through here, once."""

from __future__ import annotations

from datetime import UTC, datetime, time
from typing import Any

from airflow.sdk import (
    DAG,
    Asset,
    AssetOrTimeSchedule,
    AssetWatcher,
    CronTriggerTimetable,
    Param,
    task,
)
from airflow.sdk.exceptions import AirflowSkipException
from ml_alerts.watchers import Reported, Unsent
from ml_alerts.wiring import at_the_end, listens, tell, when_failed
from ml_launch.unclaimed import Unclaimed

from ml_tasks import config

DOC = """\
Asks for a training of **{name}**. The same cause and window twice is one trigger; tick *again* to
train on it once more on purpose. With `schedule.training` in its YAML it asks by itself, too.

Other systems start this DAG by a POST to `/api/v2/dags/{name}__intake/dagRuns` with the form's
fields as `conf`.

`sweep` starts what was asked for and never claimed: an event may be lost with the machine that was
to send it. A watcher starts this DAG for that, too, where such a wish has waited for ten minutes.

With the policy `outside`, `heed` asks for a training where another system reported what counts, by
a POST to `/perennial/alerts`. With `alerts`, `tell` sends what people are to be told. Watchers
start this DAG for both.
"""


def form(pipeline: config.Pipeline) -> dict[str, Param]:
    """Give the fields of the form, each with what it means."""
    start = pipeline.schedule.start.isoformat()
    return {
        "cause": Param(
            "form",
            type="string",
            pattern="^[a-z][a-z0-9_-]{0,40}$",
            title="Cause",
            description_md="What asks: `form`, `drift`, `schedule`, the name of another system.",
        ),
        "window_start": Param(
            start,
            type="string",
            format="date",
            title="First day of the window",
            description_md="Rows from this day on, UTC, are learned from.",
        ),
        "window_end": Param(
            None,
            type=["null", "string"],
            format="date",
            title="Day after the window",
            description_md="Empty: up to the newest window that was published.",
        ),
        "why": Param(
            "",
            type="string",
            maxLength=500,
            title="Why",
            description_md="For whoever reads the ledger later.",
        ),
        "again": Param(
            False,
            type="boolean",
            title="Again",
            description_md="Train even if this cause asked for this window before.",
        ),
        "trigger": Param(
            None,
            type=["null", "string"],
            title="Trigger",
            description_md="Id of one that stands in the ledger, to be started; the rest is its.",
        ),
    }


def watchers(pipeline: config.Pipeline) -> list[AssetWatcher]:
    """Give what looks for that which waits: lost wishes, alerts that came in or are to be sent."""
    name = pipeline.name
    found = [AssetWatcher(name=f"unclaimed_{name}", trigger=Unclaimed(name))]
    if listens(pipeline):
        found.append(AssetWatcher(name=f"reported_{name}", trigger=Reported(name)))
    if pipeline.alerts:
        found.append(AssetWatcher(name=f"unsent_{name}", trigger=Unsent(name)))
    return found


def asking(pipeline: config.Pipeline, request: Asset) -> list[Any]:
    """Give the tasks that write triggers and emit the event that starts their training."""

    @task(outlets=[request], doc_md="Write the trigger once and start its training.")
    def ask(params: Any = None, dag_run: Any = None, outlet_events: Any = None) -> str:
        from ml_launch.intake import write_trigger

        if dag_run.run_type == "asset_triggered":
            raise AirflowSkipException("nothing is asked for: the watcher wants a sweep")
        scheduled = dag_run.run_type == "scheduled"
        trigger = write_trigger(pipeline.name, params, dag_run.run_id, scheduled=scheduled)
        outlet_events[request].add_partitions([trigger])
        return trigger

    @task(outlets=[request], doc_md="Start what was asked for and never claimed.")
    def sweep(ti: Any = None, outlet_events: Any = None) -> list[str]:
        from ml_launch.intake import lost_triggers

        trainings = ti.get_dr_count(
            dag_id=f"{pipeline.name}__training", states=["queued", "running"]
        )
        lost = lost_triggers(pipeline.name, trainings)
        outlet_events[request].add_partitions(lost)
        return lost

    @task(outlets=[request], doc_md="Ask where another system reported what counts.")
    def heed(dag_run: Any = None, outlet_events: Any = None) -> str:
        from ml_alerts.heed import heed as heeded

        trigger = heeded(pipeline.name, dag_run.run_id)
        outlet_events[request].add_partitions([trigger])
        return trigger

    return [ask(), sweep(), *([heed()] if listens(pipeline) else [])]


def build(pipeline: config.Pipeline) -> DAG:
    """Write the trigger, then emit the event that starts the training; beside it, sweep."""
    end = pipeline.schedule.end
    request = Asset(f"training_request({pipeline.name})")
    waiting = Asset(f"waiting({pipeline.name})", watchers=watchers(pipeline))
    cron = pipeline.schedule.training
    with DAG(
        dag_id=f"{pipeline.name}__intake",
        description=f"Asks for a training of {pipeline.name}.",
        doc_md=DOC.format(name=pipeline.name),
        tags=[pipeline.name, "intake", *pipeline.tags],
        default_args={"owner": pipeline.owner, "retries": 2, **when_failed(pipeline)},
        schedule=[waiting]
        if cron is None
        else AssetOrTimeSchedule(
            timetable=CronTriggerTimetable(cron, timezone="UTC"), assets=[waiting]
        ),
        start_date=datetime.combine(pipeline.schedule.start, time(), UTC),
        end_date=None if end is None else datetime.combine(end, time(), UTC),
        catchup=False,
        params=form(pipeline),
        is_paused_upon_creation=False,
    ) as dag:
        asked = asking(pipeline, request)
        at_the_end(tell(pipeline), *asked)
    return dag


for one in config.load_good()[0]:
    globals()[f"{one.name}__intake"] = build(one)
