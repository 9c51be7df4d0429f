"""The overlay `local` on a real cluster: a run started in its Airflow ends in a champion."""

from __future__ import annotations

import json
import re
import subprocess
import time
import uuid
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import httpx
import pytest
import yaml

from ml_tasks.config import ROOT
from ml_tasks.flow import FLOWS
from ml_tasks.io.control import Control
from perennial.airflow_api import Airflow
from perennial.settings import Login
from tests.k8s.conftest import WORKLOADS, Copy, copied, of
from tests.k8s.here import Here, variable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kubernetes.client import CoreV1Api

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(7200)]

NAME = "cluster_delays"
READY_SECONDS = 1200
RUN_SECONDS = 2400


def product() -> str:
    """Write the example with a split, a model, gates and pods that fit three weeks."""
    made = yaml.safe_load((ROOT / "ml_tasks" / "pipelines" / "flight_delays.yaml").read_text())
    made["name"] = NAME
    made["split"] = {"validation_days": 3, "test_days": 4, "gap_days": 1}
    made["training"] |= {"epochs": 2, "patience": 2}
    made["evaluation"] |= {
        "baselines": ["majority"],
        "bootstrap_samples": 100,
        "gates": [
            {"name": "floor", "params": {"metric": "roc_auc", "minimum": 0.55}},
            {"name": "beats_baseline", "params": {"metric": "roc_auc", "baseline": "majority"}},
            {"name": "beats_champion", "params": {"metric": "roc_auc"}},
        ],
    }
    made["resources"] = {"default": {"cpus": 0.25, "memory_gb": 3}}
    return yaml.safe_dump(made)


@dataclass(frozen=True, slots=True)
class Installed:
    """An installation on the cluster."""

    copy: Copy
    login: Login
    airflow_url: str
    postgres: str

    def require(self, name: str) -> None:
        """Airflow's client asks; what is forwarded runs."""

    def secret(self, file: str) -> dict[str, str]:
        path = self.copy.folder / "overlays" / "local" / "secrets" / file
        return dict(line.split("=", 1) for line in path.read_text().splitlines())


def kubectl(*words: str, told: str | None = None) -> str:
    done = subprocess.run(
        ["kubectl", *words], input=told, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@contextmanager
def forwarded(namespace: str, what: str, port: int) -> Iterator[str]:
    """Forward a port of a service; give host and port here."""
    with subprocess.Popen(
        ["kubectl", "--namespace", namespace, "port-forward", what, f":{port}"],
        stdout=subprocess.PIPE,
        text=True,
    ) as forwarding:
        try:
            assert forwarding.stdout is not None
            line = forwarding.stdout.readline()
            found = re.search(r"127\.0\.0\.1:\d+", line)
            assert found, line
            yield found.group()
        finally:
            forwarding.terminate()


@pytest.fixture(scope="module")
def s3() -> dict[str, str]:
    """An S3 server that pods reach."""
    if not variable("S3"):
        pytest.skip("PERENNIAL_TEST_S3: wanted the address of an S3 server, as pods reach it")
    import boto3

    keys = (variable("S3_KEY"), variable("S3_SECRET"))
    bucket = f"perennial-{uuid.uuid4().hex[:8]}"
    boto3.client(
        "s3", endpoint_url=variable("S3"), region_name="us-east-1",
        aws_access_key_id=keys[0], aws_secret_access_key=keys[1],
    ).create_bucket(Bucket=bucket)  # fmt: skip
    return {
        "AWS_ENDPOINT_URL": variable("S3"),
        "AWS_ACCESS_KEY_ID": keys[0],
        "AWS_SECRET_ACCESS_KEY": keys[1],
        "BUCKET": bucket,
    }


@pytest.fixture(scope="module")
def installed(
    api: CoreV1Api, s3: dict[str, str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installed]:
    """The overlay in namespaces of its own; removed at the end."""
    mark, here = uuid.uuid4().hex[:6], Here.of(api)
    folder: Path = tmp_path_factory.mktemp("local")
    copy = copied(folder / "k8s", f"perennial-platform-{mark}", f"perennial-tasks-{mark}")
    assert copy.draw_secrets(s3).returncode == 0
    objects = here.fitted(copy, NAME, product())
    volumes = here.volumes((copy.platform, copy.tasks))
    try:
        kubectl("apply", "-f", "-", told=yaml.safe_dump_all(objects))
        if volumes:
            kubectl("apply", "-f", "-", told=yaml.safe_dump_all(volumes))
        for one in of(objects, *WORKLOADS):
            kubectl(
                "--namespace", copy.platform, "rollout", "status", f"--timeout={READY_SECONDS}s",
                f"{one['kind']}/{one['metadata']['name']}",
            )  # fmt: skip
        passwords = copy.folder / "overlays" / "local" / "secrets" / "passwords.json"
        login = Login("admin", json.loads(passwords.read_text())["admin"])
        with (
            forwarded(copy.platform, "svc/airflow-api-server", 8080) as airflow,
            forwarded(copy.platform, "svc/postgres", 5432) as postgres,
        ):
            yield Installed(copy, login, f"http://{airflow}", postgres)
    finally:
        kubectl("delete", "namespace", copy.platform, copy.tasks, "--wait=false")
        names = [v["metadata"]["name"] for v in of(volumes, "PersistentVolume")]
        if names:
            kubectl("delete", "persistentvolume", *names, "--wait=false")


def wait_for(what: Callable[[], Any], seconds: float = RUN_SECONDS) -> Any:
    limit = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < limit, "it did not come"
        time.sleep(2)
    return found


def ended(airflow: Airflow, dag: str, many: int) -> list[dict[str, Any]]:
    """Wait for so many runs of a DAG to end."""

    def look() -> list[dict[str, Any]]:
        runs = airflow.runs(dag)
        done = [run for run in runs if run["state"] in ("success", "failed")]
        return done if len(done) >= many else []

    found: list[dict[str, Any]] = wait_for(look)
    return found


def ask_for_a_champion(airflow: Airflow) -> str:
    """Ingest three weeks, ask for a training; give the run that it became."""
    wait_for(lambda: airflow.known(f"{NAME}__training"))
    airflow.backfill(f"{NAME}__ingestion", "2013-01-01", "2013-01-21")
    windows = ended(airflow, f"{NAME}__ingestion", 3)
    assert {run["state"] for run in windows} == {"success"}
    asked = {"cause": "test", "window_start": "2013-01-01", "why": "a cluster is new"}
    airflow.start(f"{NAME}__intake", asked)
    (training,) = ended(airflow, f"{NAME}__training", 1)
    run: str = training["dag_run_id"]
    return run


def test_a_run_that_is_started_in_airflow_ends_in_a_champion(installed: Installed) -> None:
    page = httpx.get(installed.airflow_url, follow_redirects=True)
    assert page.status_code == httpx.codes.OK
    assert "Airflow" in page.text
    airflow = Airflow(installed)  # type: ignore[arg-type]
    run = ask_for_a_champion(airflow)
    tasks = airflow.tasks(f"{NAME}__training", run)
    assert {task["task_id"]: task["state"] for task in tasks} == dict.fromkeys(
        (step.task for step in FLOWS["training"]), "success"
    )
    # The triggerer handed the words of the pod on, and the object store kept them.
    (attempt,) = (task["try_number"] for task in tasks if task["task_id"] == "train")
    assert "best epoch" in "\n".join(airflow.log(f"{NAME}__training", run, "train", attempt))

    word = installed.secret("postgres.env")["CONTROL_PASSWORD"]
    control = Control(f"postgresql+psycopg://control:{word}@{installed.postgres}/control")
    assert control.champion(NAME) is not None
    assert answered(
        installed, "mlflow", 5000, "GET", "/api/2.0/mlflow/registered-models/alias",
        params={"name": NAME, "alias": "champion"},
    )["model_version"]["name"] == NAME  # fmt: skip
    features = answered(
        installed, "feast", 6566, "POST", "/get-online-features",
        json={"features": ["weather:weather_temp"], "entities": {"origin": ["EWR"]}},
    )  # fmt: skip
    assert features["results"][1]["statuses"] == ["PRESENT"]


def answered(
    installed: Installed, service: str, port: int, method: str, path: str, **more: Any
) -> dict[str, Any]:
    with forwarded(installed.copy.platform, f"svc/{service}", port) as at:
        answer = httpx.request(method, f"http://{at}{path}", **more)
    assert answer.status_code == httpx.codes.OK, answer.text
    found: dict[str, Any] = answer.json()
    return found
