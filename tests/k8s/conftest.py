"""The overlays, rendered as a person would."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ml_tasks.config import ROOT
from tests.plugins.cluster.conftest import (
    api,
    on_a_whole_cluster,
    pytest_collection_modifyitems,
)

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["api", "on_a_whole_cluster", "pytest_collection_modifyitems"]

Manifest = dict[str, Any]
OVERLAYS = ("local", "prod", "gpu")
WORKLOADS = ("Deployment", "StatefulSet")
PLATFORM, TASKS = "perennial-platform", "perennial-tasks"
FOREIGN = {
    "ExternalSecret": "External Secrets Operator",
    "ClusterQueue": "Kueue",
    "LocalQueue": "Kueue",
    "ResourceFlavor": "Kueue",
}
"""Kinds that are no part of Kubernetes, and whose they are."""
S3 = {
    "AWS_ENDPOINT_URL": "http://s3.example.com:9000",
    "AWS_ACCESS_KEY_ID": "key",
    "AWS_SECRET_ACCESS_KEY": "its-secret",
}


@dataclass(frozen=True, slots=True)
class Copy:
    """The manifests in a folder of their own, with namespaces of their own."""

    folder: Path
    platform: str
    tasks: str

    def draw_secrets(self, s3: dict[str, str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [self.folder / "overlays" / "local" / "draw-secrets"],
            env={"PATH": os.environ["PATH"], **s3},  # noqa: TID251 - a child's environment
            capture_output=True,
            text=True,
            check=False,
        )

    def text(self, overlay: str | Path) -> str:
        """Render an overlay, or a kustomization that stands elsewhere."""
        done = subprocess.run(
            ["kubectl", "kustomize", self.folder / "overlays" / overlay],
            capture_output=True, text=True, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def objects(self, overlay: str | Path) -> list[Manifest]:
        return list(yaml.safe_load_all(self.text(overlay)))


def copied(folder: Path, platform: str = PLATFORM, tasks: str = TASKS) -> Copy:
    """Copy the manifests; what a person drew into theirs stays there."""
    shutil.copytree(ROOT / "k8s", folder, ignore=shutil.ignore_patterns("secrets"))
    if platform != PLATFORM:
        for file in (f for f in folder.rglob("*") if f.is_file()):
            file.write_text(file.read_text().replace(PLATFORM, platform).replace(TASKS, tasks))
    return Copy(folder, platform, tasks)


@pytest.fixture(scope="session", autouse=True)
def _kubectl() -> None:
    if shutil.which("kubectl") is None:
        if os.environ.get("CI"):  # noqa: TID251
            pytest.fail("no kubectl on the path: with CI set it is wanted")
        pytest.skip("no kubectl on the path, which renders the manifests")


@pytest.fixture(scope="session")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Copy:
    """The manifests as they are, with secrets drawn for S3 at an address of nobody."""
    made = copied(tmp_path_factory.mktemp("k8s") / "k8s")
    assert made.draw_secrets(S3).returncode == 0
    return made


@pytest.fixture(scope="session")
def rendered(copy: Copy) -> dict[str, list[Manifest]]:
    """All objects of each overlay."""
    return {overlay: copy.objects(overlay) for overlay in OVERLAYS}


@pytest.fixture(params=OVERLAYS)
def overlay(request: pytest.FixtureRequest, rendered: dict[str, list[Manifest]]) -> list[Manifest]:
    """The objects of one overlay."""
    return rendered[request.param]


def of(objects: list[Manifest], *kinds: str, namespace: str = "") -> list[Manifest]:
    """Give the objects of these kinds."""
    return [
        one
        for one in objects
        if one["kind"] in kinds and namespace in ("", one["metadata"].get("namespace"))
    ]


def named(objects: list[Manifest], kind: str, name: str) -> Manifest:
    """Give the object of a kind and a name."""
    (found,) = (one for one in of(objects, kind) if one["metadata"]["name"] == name)
    return found


def containers(workload: Manifest) -> Iterator[Manifest]:
    """Give all containers of a workload."""
    spec = workload["spec"]["template"]["spec"]
    yield from (*spec.get("initContainers", ()), *spec["containers"])
