"""What a run in pods has left, in a form in which two runs can be compared."""

from __future__ import annotations

import hashlib
import json
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from ml_tasks.io import housekeeping, runs
from ml_tasks.io.control import Control
from perennial import apart, layout
from tests.e2e.conductor import LOOP
from tests.e2e.conftest import NAME
from tests.faults import states

if TYPE_CHECKING:
    from ml_tasks.config import Environment


def state(environment: Environment) -> dict[str, Any]:
    """Give control, tables, results, MLflow, online features, and what is left of Jobs.

    What broken attempts left is cleaned up before: tables are read as they are without it.
    """
    housekeeping.clean(environment, datetime.now(UTC) - timedelta(days=1), grace=timedelta(0))
    found = {
        "control": control(environment),
        "lake": states.lake(environment),
        "results": states.results(environment, NAME),
        "mlflow": states.mlflow(environment, NAME),
        "online": online(environment.redis_url),
        "jobs": jobs(environment.namespace),
    }
    # As it comes back from a file.
    read: dict[str, Any] = json.loads(json.dumps(found))
    return read


def control(environment: Environment) -> dict[str, Any]:
    opened = Control(environment.control)
    head = opened.champion(NAME)
    return {
        "windows": [(one.start, one.end, one.run) for one in opened.windows(NAME)],
        "triggers": [(t.cause, t.window, t.run, t.outcome) for t in opened.triggers(NAME)],
        "champion": head and (head.version, head.run),
        "promotions": len(opened.audit(NAME)),
    }


def online(url: str) -> str:
    """Give the hash of all that the online store holds."""
    import redis

    with redis.from_url(url) as client:
        found = sorted(
            (key, sorted(client.hgetall(key).items()) if client.type(key) == b"hash" else ())
            for key in client.scan_iter()
        )
    return hashlib.sha256(repr(found).encode()).hexdigest()


def jobs(namespace: str) -> list[str]:
    """Name the Jobs that nobody has removed, each with what tells where it comes from."""
    from kubernetes.client import BatchV1Api

    found = BatchV1Api().list_namespaced_job(namespace).items
    left = [job.metadata for job in found if not job.metadata.deletion_timestamp]
    return [f"{one.name} made {one.creation_timestamp:%H:%M:%S}: {one.labels}" for one in left]


def places(environment: Environment) -> dict[str, list[str]]:
    """Name what is there beside the state itself: where else runs may have kept theirs."""
    import redis
    import sqlalchemy as sa
    from kubernetes.client import CoreV1Api

    found: dict[str, list[str]] = {}
    for field in apart.DATABASES:
        engine = sa.create_engine(getattr(environment, field), poolclass=sa.pool.NullPool)
        with engine.connect() as connection:
            found[field] = sorted(sa.inspect(connection).get_schema_names())
    bucket = environment.objects_root.split("/")[2]
    listed = layout.s3(environment).list_objects_v2(Bucket=bucket, Delimiter="/")
    found["bucket"] = [one["Prefix"] for one in listed.get("CommonPrefixes", ())]
    with redis.from_url(environment.redis) as client:
        found["redis"] = sorted(client.info("keyspace"))
    secrets = CoreV1Api().list_namespaced_secret(environment.namespace).items
    found["secrets"] = sorted(one.metadata.name for one in secrets)
    found["home"] = sorted(one.name for one in environment.home.iterdir())
    return found


def seconds(environment: Environment) -> dict[str, float]:
    """Give how long each task's pod was there, by flow and task."""
    return {
        f"{flow}-{one.task}": max(pod.seconds for pod in one.usage.pods.values())
        for flow in LOOP
        for one in runs.tries(environment, NAME, flow)
        if one.usage is not None
    }
