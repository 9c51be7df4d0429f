"""A place on a cluster for the small product: a namespace, the checkout in a volume, a home."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

import pytest

from perennial import dev_volume
from tests import playground
from tests.e2e import loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubernetes.client import CoreV1Api

NEEDED = ("KUBECONFIG", "PERENNIAL_TEST_HOST", "PERENNIAL_TEST_IMAGE", "AWS_ENDPOINT_URL")


def missing() -> str:
    """Say what is not set of that which the cluster is known by."""
    names = [name for name in NEEDED if not os.environ.get(name)]  # noqa: TID251
    return f"{', '.join(names)} not set: wanted a cluster, and an address its pods reach" * bool(
        names
    )


def stop_or_skip(said: str) -> NoReturn:
    """Skip a test that lacks something; in CI it fails."""
    if os.environ.get("CI"):  # noqa: TID251
        pytest.fail(said)
    pytest.skip(said)


def cluster() -> CoreV1Api:
    """The cluster that KUBECONFIG names."""
    from kubernetes import client, config

    config.load_kube_config()
    return client.CoreV1Api()


@contextmanager
def place(core: CoreV1Api) -> Iterator[dict[str, str]]:
    """Make a namespace and a folder; give the variables of a home there, and remove all after."""
    from kubernetes.utils import create_from_dict

    folder = Path(tempfile.mkdtemp(prefix="perennial-"))
    folder.chmod(0o711)
    pipelines = folder / "pipelines"
    loop.write(pipelines)
    folders = {**dev_volume.folders(), "pipelines": pipelines}
    volumes: list[dict[str, Any]] = []
    image = os.environ["PERENNIAL_TEST_IMAGE"]  # noqa: TID251
    template = _with_pipelines(dev_volume.pod(image, folders))
    try:
        with playground.restricted(core, "e2e") as namespace:
            for one in dev_volume.volumes(namespace, folders):
                create_from_dict(core.api_client, one)
                volumes.append(one)
            yield {
                "PERENNIAL_HOME": str(folder / "home"),
                "PERENNIAL_PIPELINES": str(pipelines),
                "PERENNIAL_PROFILE": "servers",
                "PERENNIAL_LAUNCHER": "kubernetes",
                "PERENNIAL_HOST": os.environ["PERENNIAL_TEST_HOST"],  # noqa: TID251
                "PERENNIAL_NAMESPACE": namespace,
                "PERENNIAL_IMAGE": image,
                "PERENNIAL_POD_TEMPLATE": str(dev_volume.write(folder / "pod.yaml", [template])),
                "PERENNIAL_BUCKET": f"test-{uuid.uuid4().hex[:12]}",
            }
    finally:
        for one in volumes:
            if one["kind"] == "PersistentVolume":
                core.delete_persistent_volume(one["metadata"]["name"])
        shutil.rmtree(folder)


def _with_pipelines(template: dict[str, Any]) -> dict[str, Any]:
    (task,) = template["spec"]["containers"]
    task["volumeMounts"].append({"name": "pipelines", "mountPath": "/pipelines", "readOnly": True})
    task["env"] = [{"name": "PERENNIAL_PIPELINES", "value": "/pipelines"}]
    return template
