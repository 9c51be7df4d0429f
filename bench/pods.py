"""What a chain of pods costs: by our launcher, by Airflow's operator, and bare.

Eight pods run one after another that do nothing (`python3 -c pass`), of one image and with the same
resources. Ours are launched by the operator and the launcher of every pipeline's task, once waiting
in the worker and once in the triggerer (`bench/dags/pods.py`); beside them stands Airflow's
`KubernetesPodOperator`, in the same two ways, with its own settings. All four run in one Airflow as
`perennial up` sets it up for a cluster. Bare are eight times `kubectl create job` and `kubectl wait
--for=condition=complete`, from a loop and without Airflow; what a chain of eight tasks costs in
Airflow alone is Airflow's own `@task` that does nothing. Each is run in turn.

Of a task that waits in the worker nearly all is the pod, and Airflow's own share. Ours sees that
the container has ended; a Job says so a second or two later, which is why ours is the quicker. Of
one that waits in the triggerer about half is Airflow's: it takes a second until the triggerer takes
up the wait and another until the scheduler hears of its end, and the task then begins again, in a
process of its own that finds its Job. Deferring is for long waits. Where a wait is short Airflow's
scheduler at times takes the end of the process that deferred for the end of the task, and fails it;
a run that failed is run again, and the notes count those. Ours waits four seconds at least, by when
the scheduler has heard of it.

It wants a cluster, whose pods reach this machine, and an S3 server: `KUBECONFIG`,
`PERENNIAL_TEST_HOST`, `PERENNIAL_TEST_IMAGE` (which the nodes have or can pull) and
`AWS_ENDPOINT_URL` with its keys. It makes namespaces of its own there, and removes them.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import time
import uuid
from collections import Counter
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import yaml
from kubernetes import client, config

from bench import ROOT
from bench.launching import read, took
from bench.measured import Measured
from bench.own_airflow import ENDED, OwnServices, running, wait_for
from ml_tasks.config import Environment, TaskResources
from ml_tasks.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from perennial.airflow_api import Airflow

TASKS = 8
REPETITIONS = 3
WAIT_SECONDS = 600
TRIES, SHOWN = 3, 30
OVER_BARE = 1.3
DAGS = ("bare", "ours_in_worker", "airflows_in_worker", "ours_deferred", "airflows_deferred")
SMALL = TaskResources(cpus=0.05, memory_gb=0.125)


def measure(folder: Path) -> Iterator[Measured]:
    """Run all in turn."""
    environment = surroundings(folder)
    own = {"AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "bench" / "dags")}
    found: dict[str, list[float]] = {name: [] for name in ("jobs", *DAGS)}
    failed: Counter[str] = Counter()
    with (
        namespaces(environment.namespace) as bare,
        running(OwnServices(environment, own)) as airflow,
    ):
        for dag in DAGS:
            wait_for(partial(read, airflow, dag), f"{dag} is read", WAIT_SECONDS)
        for number in range(REPETITIONS):
            found["jobs"].append(jobs(bare, environment.image, number))
            for dag in DAGS:
                found[dag].append(chain(airflow, dag, failed))
            print("  seconds:", {name: round(took[-1], 1) for name, took in found.items()})
    yield from compared(
        {name: statistics.median(seconds) for name, seconds in found.items()}, failed
    )


def compared(found: dict[str, float], failed: Counter[str]) -> Iterator[Measured]:
    """Hold the medians against one another."""
    worker, deferred = (f"{TASKS} pods, waiting in the {where}" for where in WHERE)
    jobs, both = found["jobs"], found["jobs"] + found["bare"]
    note = f"Airflow's own `@task` that does nothing takes {found['bare']:.1f} s for {TASKS}"
    for what, ours, peer, theirs, bound in (
        (worker, "ours_in_worker", "bare Jobs, without Airflow", jobs, OVER_BARE),
        (worker, "ours_in_worker", f"bare Jobs and {TASKS} `@task`s of Airflow", both, None),
        (worker, "ours_in_worker", OPERATOR, found["airflows_in_worker"], None),
        (deferred, "ours_deferred", f"{OPERATOR}, deferrable", found["airflows_deferred"], 1.0),
        (deferred, "ours_deferred", "bare Jobs, without Airflow", jobs, None),
    ):
        notes = [note] if bound == OVER_BARE else []
        if bound is None and ours == "ours_deferred":
            notes = [
                f"{dag}: {count} runs failed and were run again" for dag, count in failed.items()
            ]
        yield Measured(what, found[ours], peer, theirs, "s", bound, "; ".join(notes))


OPERATOR = "`KubernetesPodOperator`"
WHERE = ("worker", "triggerer")


def surroundings(folder: Path) -> Environment:
    """Give an environment whose tasks are pods, with a product that asks for little."""
    pipelines = folder / "pipelines"
    pipelines.mkdir()
    text = (ROOT / "ml_tasks" / "pipelines" / "flight_delays.yaml").read_text()
    small = SMALL.model_dump(include={"cpus", "memory_gb"})
    product = yaml.safe_load(text) | {"resources": {"default": small}}
    (pipelines / "flight_delays.yaml").write_text(yaml.safe_dump(product))
    # Postgres runs as another user, who must be let through to its folder.
    folder.chmod(0o711)
    return Environment(
        home=folder / "home",
        profile="servers",
        launcher="kubernetes",
        pipelines=pipelines,
        host=os.environ["PERENNIAL_TEST_HOST"],  # noqa: TID251
        image=os.environ["PERENNIAL_TEST_IMAGE"],  # noqa: TID251
        namespace=f"perennial-bench-{uuid.uuid4().hex[:8]}",
        bucket="perennial-bench",
    )


@contextmanager
def namespaces(ours: str) -> Iterator[str]:
    """Make a namespace for bare Jobs, whose pods are given what ours ask for; remove both."""
    config.load_kube_config()
    core, bare = client.CoreV1Api(), f"{ours}-bare"
    core.create_namespace({"metadata": {"name": bare}})
    memory = f"{SMALL.memory_gb * 1024:.0f}Mi"
    requests = {"cpu": f"{SMALL.cpus * 1000:.0f}m", "memory": memory}
    limit: dict[str, Any] = {"type": "Container", "defaultRequest": requests}
    limit["default"] = {"memory": memory}
    try:
        core.create_namespaced_limit_range(
            bare, {"metadata": {"name": "small"}, "spec": {"limits": [limit]}}
        )
        yield bare
    finally:
        known = {one.metadata.name for one in core.list_namespace().items}
        for name in known & {ours, bare}:
            core.delete_namespace(name)


def jobs(namespace: str, image: str, number: int) -> float:
    """Give the seconds of bare Jobs, one after another."""
    began = time.perf_counter()
    for place in range(TASKS):
        name = f"bare-{number}-{place}"
        kubectl(namespace, "create", "job", name, f"--image={image}", "--", "python3", "-c", "pass")
        limit = f"--timeout={WAIT_SECONDS}s"
        kubectl(namespace, "wait", "--for=condition=complete", f"job/{name}", limit)
    return time.perf_counter() - began


def kubectl(namespace: str, *words: str) -> None:
    """Call it."""
    subprocess.run(["kubectl", "-n", namespace, *words], check=True, stdout=subprocess.DEVNULL)  # noqa: S603, S607


def chain(airflow: Airflow, dag: str, failed: Counter[str]) -> float:
    """Give the seconds of a run of a DAG that went well; those that did not are counted.

    Raises:
        BackendError: None did.
    """
    for _ in range(TRIES):
        run = airflow.start(dag, {})
        state = wait_for(partial(over, airflow, dag, run), f"{dag}, {run}", WAIT_SECONDS)
        if state == "success":
            return took(airflow, dag, run) or 0.0
        failed[dag] += 1
        for task in airflow.tasks(dag, run):
            if task["state"] == "failed":
                lines = airflow.log(dag, run, task["task_id"], task["try_number"])
                print(f"  {dag}, {task['task_id']}:", *lines[-SHOWN:], sep="\n    ")
    raise BackendError(f"{dag}: {TRIES} runs failed, see above")


def over(airflow: Airflow, dag: str, run: str) -> str | None:
    """Give the final state of a run; `None` while it goes on."""
    (found,) = airflow.runs(dag, run)
    return found["state"] if found["state"] in ENDED else None
