"""A namespace of a real cluster, and tasks that do there what a test says."""

from __future__ import annotations

import os
import uuid
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
from ml_launch.cluster import launch
from ml_launch.command import Command

from ml_tasks.config import Environment, TaskResources
from ml_tasks.io import objects
from ml_tasks.result import Result
from tests import playground, whole

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kubernetes.client import CoreV1Api
    from ml_launch.outcome import Outcome

SMALL = TaskResources(cpus=0.05, memory_gb=0.125)


@dataclass(frozen=True, kw_only=True, slots=True)
class Script(Command):
    """A task whose pods run a script instead of ours."""

    script: str

    def in_pod(self, pods: int, first: str, port: int) -> list[str]:  # noqa: ARG002
        return ["-c", self.script, "ml_tasks", *self.arguments]


@dataclass
class Field:
    """A namespace, and what is launched there."""

    environment: Environment
    core: CoreV1Api
    started: list[launch.JobLaunch]
    small: TaskResources = SMALL

    @property
    def namespace(self) -> str:
        return self.environment.namespace

    def command(
        self,
        script: str,
        *,
        attempt: int = 1,
        run: str = "",
        pods: int | None = None,
        arguments: tuple[str, ...] = (),
    ) -> Script:
        run = run or uuid.uuid4().hex[:8]
        uri = f"{self.environment.objects_root}/runs/p/{run}/derive/{attempt}/result.json"
        # The pods cannot write where the test reads: a good result lies there from the start.
        objects.write_result(uri, Result(task="derive", pipeline="p", run=run, attempt=attempt))
        return Script(
            task="derive", pipeline="p", run=run, attempt=attempt, result=uri,
            arguments=arguments, processes=pods, script=script,
        )  # fmt: skip

    def start(self, made: Command, given: TaskResources = SMALL) -> launch.JobLaunch:
        started = self.prepare(made, given)
        started.begin()
        return started

    def running(self, made: Command, until: Callable[[Callable[[], Any]], Any]) -> launch.JobLaunch:
        """Start a task, and wait until its pod runs."""
        started = self.start(made)
        until(lambda: [pod for pod in self.pods(started) if pod.status.phase == "Running"])
        return started

    def prepare(self, made: Command, given: TaskResources = SMALL) -> launch.JobLaunch:
        prepared = launch.prepare(made, given, self.environment)
        self.started.append(prepared)
        return prepared

    def run(
        self, made: Command, given: TaskResources = SMALL, lines: list[str] | None = None
    ) -> Outcome:
        return self.start(made, given).follow((lines if lines is not None else []).append)

    def pods(self, started: launch.JobLaunch) -> list[Any]:
        selector = f"batch.kubernetes.io/job-name={started.name}"
        found: list[Any] = self.core.list_namespaced_pod(
            self.namespace, label_selector=selector
        ).items
        return found

    def failed(self, started: launch.JobLaunch) -> bool:
        from kubernetes.client import BatchV1Api

        job = BatchV1Api().read_namespaced_job(started.name, self.namespace)
        return any(c.type == "Failed" and c.status == "True" for c in job.status.conditions or ())


def environment_in(namespace: str, folder: Path) -> Environment:
    """Give what a launcher needs there; its results lie in a folder, stores are wanted by none."""
    return Environment(
        profile="servers",
        launcher="kubernetes",
        objects=(folder / "objects").as_uri(),
        warehouse="s3://nowhere/warehouse",
        control_url="postgresql://nowhere/control",
        catalog_url="postgresql://nowhere/catalog",
        redis_url="redis://nowhere",
        feast_registry="postgresql://nowhere/feast",
        namespace=namespace,
        image=os.environ.get("PERENNIAL_TEST_IMAGE", "python:3.11-slim-bookworm"),  # noqa: TID251
    )


@pytest.fixture(scope="session")
def api() -> CoreV1Api:
    """A cluster that may be played with: the one that KUBECONFIG names."""
    return playground.found()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Give those on a cluster the time that whoever takes it apart may need."""
    for item in items:
        if "api" in getattr(item, "fixturenames", ()) and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(1800))


@pytest.fixture(autouse=True)
def on_a_whole_cluster(request: pytest.FixtureRequest) -> Iterator[None]:
    """Wait while a test of another process has taken the cluster apart."""
    if "api" not in request.fixturenames:
        yield
        return
    with whole.shared():
        yield


@pytest.fixture(scope="session")
def namespace(api: CoreV1Api) -> Iterator[str]:
    """A namespace that lets in restricted pods alone."""
    with playground.restricted(api) as name:
        api.create_namespaced_secret(name, {"metadata": {"name": "perennial-environment"}})
        api.create_namespaced_service(
            name,
            {
                "metadata": {"name": "perennial-training"},
                "spec": {
                    "clusterIP": "None",
                    "publishNotReadyAddresses": True,
                    "selector": {"perennial/distributed": "true"},
                },
            },
        )
        yield name


@pytest.fixture
def field(api: CoreV1Api, namespace: str, tmp_path: Path) -> Iterator[Field]:
    """Where a test launches its tasks; what is left of them is removed."""
    found = Field(environment_in(namespace, tmp_path), api, [])
    yield found
    for one in found.started:
        one.stop()


@pytest.fixture
def until() -> Callable[[Callable[[], Any]], Any]:
    """Wait for something; it is looked at again and again for a minute."""
    import time

    def wait(look: Callable[[], Any]) -> Any:
        limit = time.monotonic() + 60
        while not (found := look()):
            assert time.monotonic() < limit, "it did not come"
            time.sleep(0.2)
        return found

    return wait
