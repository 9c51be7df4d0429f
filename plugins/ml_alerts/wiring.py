"""What DAG files need so that people are told: a callback, and a task at the end."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseNotifier, task
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

if TYPE_CHECKING:
    from airflow.sdk import Context
    from airflow.sdk.definitions.xcom_arg import XComArg

    from ml_tasks.config import Pipeline

LONGEST_MINUTES = 10
RETRY_SECONDS = 10


def listens(pipeline: Pipeline) -> bool:
    """Tell whether alerts of other systems are a reason to train a product."""
    return bool(pipeline.monitoring.retraining.outside)


class Failed(BaseNotifier):
    """Tells of a task that failed for good.

    The worker calls it; where that died, the DAG processor does, which knows of no fault.
    """

    def __init__(self, pipeline: str) -> None:
        """Remember whose tasks."""
        super().__init__()
        self.pipeline = pipeline

    def notify(self, context: Context) -> None:
        """Write it down for each channel, and send it if that can be done now."""
        from ml_alerts.delivery import tell as deliver
        from ml_alerts.news import News
        from ml_tasks import config

        ti = context["ti"]
        fault = context.get("exception")
        news = News(self.pipeline, ti.dag_id, ti.run_id)
        message = news.failed(ti.task_id, ti.try_number, "" if fault is None else str(fault))
        deliver(config.load(self.pipeline), [message])


def when_failed(pipeline: Pipeline) -> dict[str, Any]:
    """Give what a DAG's `default_args` take; nothing where nobody wants to be told."""
    wanted = any("failed" in channel.on for channel in pipeline.alerts)
    return {"on_failure_callback": Failed(pipeline.name)} if wanted else {}


def at_the_end(told: XComArg | None, *after: Any) -> None:
    """Put the task that tells after others; a run is judged without it, and it runs in any case."""
    if told is None:
        return
    told.as_teardown()
    for one in after:
        one.set_downstream(told)


def tell(pipeline: Pipeline, *read: str) -> XComArg | None:
    """Make the task that tells of what its run did, and sends what waits; none without channels.

    Args:
        pipeline: The product.
        *read: Tasks of the same DAG whose results tell something.
    """
    if not pipeline.alerts:
        return None
    name = pipeline.name

    @task(
        task_id="tell",
        doc_md="Tell those whom the product's YAML names of what happened, once.",
        retries=2,
        retry_delay=timedelta(seconds=RETRY_SECONDS),
        # One run at a time: who does not answer must not keep the next window waiting.
        execution_timeout=timedelta(minutes=LONGEST_MINUTES),
        on_failure_callback=None,
    )
    def told(ti: Any = None, dag_run: Any = None) -> str:
        from ml_alerts.delivery import tell as deliver
        from ml_alerts.news import News, results
        from ml_tasks import config
        from ml_tasks.config import Environment
        from ml_tasks.io.control import Control

        environment = Environment()
        control = Control(environment.control)
        control.migrate()
        pulled = {one: ti.xcom_pull(task_ids=one) for one in read}
        news = News(name, dag_run.dag_id, dag_run.run_id).all(control, results(pulled))
        sent, faults = deliver(config.load(name, environment.pipelines), news)
        if faults:
            # It is control that keeps them, and the intake that tries again.
            raise AirflowFailException(
                f"{len(faults)} alerts wait, {sent} were sent; the intake tries again: {faults[0]}"
            )
        if not sent:
            raise AirflowSkipException("there is nothing to tell of")
        return f"{sent} alerts were sent"

    return told()
