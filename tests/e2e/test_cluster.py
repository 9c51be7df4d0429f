"""The loop with every task in a pod of a real cluster, while things break, held against files."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest

from ml_tasks import config
from ml_tasks.config import Environment
from ml_tasks.io import runs
from ml_tasks.io.control import Control
from perennial import dev_volume, difference, runner
from perennial.services import Services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kubernetes.client import CoreV1Api

    from tests.e2e.conftest import SmallProduct

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1500)]

NAME = "small_delays"
START, END = "2013-01-01", "2013-01-22"
NEEDED = ("KUBECONFIG", "PERENNIAL_TEST_HOST", "PERENNIAL_TEST_IMAGE", "AWS_ENDPOINT_URL")
WAIT_SECONDS = 600


@pytest.fixture(scope="module")
def api() -> CoreV1Api:
    """A cluster whose pods reach this machine; skipped where there is none."""
    if missing := [name for name in NEEDED if not os.environ.get(name)]:  # noqa: TID251
        said = f"{', '.join(missing)} not set: wanted a cluster, and an address its pods reach"
        if os.environ.get("CI"):  # noqa: TID251
            pytest.fail(said)
        pytest.skip(said)
    from kubernetes import client, config

    config.load_kube_config()
    return client.CoreV1Api()


@pytest.fixture(scope="module")
def variables(api: CoreV1Api, small_product: SmallProduct) -> Iterator[dict[str, str]]:
    """A home, a bucket and a namespace of their own, with the checkout in a volume."""
    from kubernetes.utils import create_from_dict

    home = Path(tempfile.mkdtemp(prefix="perennial-"))
    home.chmod(0o711)
    namespace = f"perennial-e2e-{uuid.uuid4().hex[:8]}"
    pipelines = home / "pipelines"
    small_product(pipelines, cron="0 0 1,22 * *", processes=2, epochs=6)
    folders = {**dev_volume.folders(), "pipelines": pipelines}
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    api.create_namespace({"metadata": {"name": namespace, "labels": labels}})
    volumes = dev_volume.volumes(namespace, folders)
    for one in volumes:
        create_from_dict(api.api_client, one)
    image = os.environ["PERENNIAL_TEST_IMAGE"]  # noqa: TID251
    template = dev_volume.pod(image, folders)
    (task,) = template["spec"]["containers"]
    task["volumeMounts"].append({"name": "pipelines", "mountPath": "/pipelines", "readOnly": True})
    task["env"] = [{"name": "PERENNIAL_PIPELINES", "value": "/pipelines"}]
    yield {
        "PERENNIAL_HOME": str(home / "home"),
        "PERENNIAL_PIPELINES": str(pipelines),
        "PERENNIAL_PROFILE": "servers",
        "PERENNIAL_LAUNCHER": "kubernetes",
        "PERENNIAL_HOST": os.environ["PERENNIAL_TEST_HOST"],  # noqa: TID251
        "PERENNIAL_NAMESPACE": namespace,
        "PERENNIAL_IMAGE": image,
        "PERENNIAL_POD_TEMPLATE": str(dev_volume.write(home / "pod.yaml", [template])),
        "PERENNIAL_BUCKET": f"test-{uuid.uuid4().hex[:12]}",
    }
    api.delete_namespace(namespace)
    for one in volumes:
        if one["kind"] == "PersistentVolume":
            api.delete_persistent_volume(one["metadata"]["name"])
    shutil.rmtree(home)


class Demo:
    """`perennial demo` as a person starts it, and the cluster beneath it."""

    def __init__(self, api: CoreV1Api, variables: dict[str, str]) -> None:
        self.api, self.variables = api, variables
        self.namespace = variables["PERENNIAL_NAMESPACE"]
        self.home = Path(variables["PERENNIAL_HOME"])

    def command(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "perennial", *words],
            env={**os.environ, **self.variables},  # noqa: TID251
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )

    def start(self) -> subprocess.Popen[str]:
        return self.command("demo", "--pipeline", NAME, "--until", END)

    def running(self, demo: subprocess.Popen[str], task: str, count: int = 1) -> list[Any]:
        """Wait until a task's pods run."""
        limit = time.monotonic() + WAIT_SECONDS
        while True:
            found = self.api.list_namespaced_pod(
                self.namespace, label_selector=f"perennial/task={task}"
            ).items
            now = [p for p in found if p.status.phase == "Running"]
            if len(now) == count:
                return now
            assert demo.poll() is None, demo.communicate()[0]
            assert time.monotonic() < limit, f"{task} does not run"
            time.sleep(0.2)

    def kill(self, service: str) -> None:
        """Kill a service with all that it started."""
        known = json.loads((self.home / "services.json").read_text())
        os.killpg(os.getpgid(known[service]["pid"]), signal.SIGKILL)

    def drain(self, node: str, pod: str) -> None:
        """Let nothing more onto a node, and evict a pod from it."""
        self.api.patch_node(node, {"spec": {"unschedulable": True}})
        self.api.create_namespaced_pod_eviction(pod, self.namespace, {"metadata": {"name": pod}})


@pytest.fixture(scope="module")
def demo(api: CoreV1Api, variables: dict[str, str]) -> Iterator[Demo]:
    made = Demo(api, variables)
    yield made
    for node in api.list_node().items:
        api.patch_node(node.metadata.name, {"spec": {"unschedulable": False}})
    said = made.command("down").communicate()[0]
    assert psutil.pid_exists(os.getpid()), said


@pytest.fixture(scope="module")
def environment(demo: Demo) -> Environment:
    """Run the loop: the scheduler dies during derive, a node is drained during the training."""
    first = demo.start()
    demo.running(first, "derive")
    demo.kill("scheduler")
    said = first.communicate()[0]
    assert "scheduler ended" in said
    assert first.returncode == 75
    again = demo.start()
    one, _other = demo.running(again, "train", 2)
    demo.drain(one.spec.node_name, one.metadata.name)
    said = again.communicate()[0]
    assert again.returncode == 0, said
    with pytest.MonkeyPatch.context() as patch:
        for name, value in demo.variables.items():
            patch.setenv(name, value)
        from perennial.given import environment as given

        return Services(given()).present


@pytest.fixture(scope="module")
def beside(
    environment: Environment, tmp_path_factory: pytest.TempPathFactory,
    mlflow_server: Callable[[Path], str],
) -> Environment:  # fmt: skip
    """The same tasks on files, as processes."""
    folder = tmp_path_factory.mktemp("beside")
    own = Environment.model_validate(
        {
            "home": folder,
            "profile": "embedded",
            "launcher": "local",
            "pipelines": environment.pipelines,
            "mlflow_url": mlflow_server(folder),
        }
    )
    pipeline = config.load(NAME, own.pipelines)
    for flow in ("ingestion", "training"):
        done = runner.run_flow(
            own, pipeline, flow, run=flow, window=f"{START}/{END}",
            on_line=lambda _line: None, on_done=lambda _done: None,
        )  # fmt: skip
        assert [one.task for one in done if not one.outcome.succeeded] == []
    return own


def made(environment: Environment) -> dict[tuple[str, str], str]:
    """Give the hash of every output of the window and of the training."""
    control = Control(environment.control)
    head = control.champion(NAME)
    assert head is not None
    (window,) = control.windows(NAME)
    return {
        (task, name): output.content_hash
        for run in (window.run, head.run)
        for task, result in runs.results(environment, NAME, run).items()
        for name, output in result.outputs.items()
        if (task, name) not in difference.OF_THE_RUN
    }


def test_outputs_are_those_of_a_laptop(environment: Environment, beside: Environment) -> None:
    in_pods, on_files = made(environment), made(beside)
    assert in_pods == on_files
    assert len(in_pods) > 15


def test_nothing_is_there_twice_and_nothing_is_left(environment: Environment, demo: Demo) -> None:
    from kubernetes.client import BatchV1Api

    from ml_tasks.io.registry import Registry

    control = Control(environment.control)
    assert len(control.windows(NAME)) == 1
    assert [t.outcome for t in control.triggers(NAME)] == ["promoted version 1"]
    assert len(Registry(environment, NAME).versions()) == 1
    left = BatchV1Api().list_namespaced_job(demo.namespace).items
    assert [job.metadata.name for job in left if not job.metadata.deletion_timestamp] == []
