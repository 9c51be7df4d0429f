"""Which DAG run of Airflow a run of ours is."""

from __future__ import annotations

import logging

from ml_launch.command import slug

from ml_tasks.flow import FLOWS

log = logging.getLogger(__name__)


def find(pipeline: str, run: str, flow: str = "") -> tuple[str, str] | None:
    """Give a run's DAG and its id in Airflow; `None` where Airflow has none.

    Args:
        pipeline: The product.
        run: Its name as control knows it, which is the id without what paths do not take.
        flow: Which DAG; any of the pipeline's when empty.
    """
    import sqlalchemy as sa
    from airflow.models.dagrun import DagRun
    from airflow.utils.session import create_session

    dags = [f"{pipeline}__{one}" for one in ([flow] if flow in FLOWS else FLOWS)]
    # Each dash may stand for several characters, and an underscore is any one.
    like = run.replace("%", "_").replace("-", "%") + "%"
    wanted = sa.select(DagRun.dag_id, DagRun.run_id).where(
        DagRun.dag_id.in_(dags), DagRun.run_id.like(like)
    )
    try:
        with create_session(scoped=False) as session:
            found = session.execute(wanted.limit(100)).all()
    except sa.exc.SQLAlchemyError as fault:
        why = str(fault).splitlines()[0]
        log.warning("Airflow's database does not say where run %s is: %s", run, why)
        return None
    return next(((dag, identity) for dag, identity in found if slug(identity) == run), None)
