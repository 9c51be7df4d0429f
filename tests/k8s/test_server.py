"""The real API server takes every overlay, as a dry run."""

from __future__ import annotations

import subprocess
import uuid
from typing import TYPE_CHECKING

import pytest
import yaml

from tests.k8s.conftest import FOREIGN, OVERLAYS, S3, copied, of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from kubernetes.client import CoreV1Api

    from tests.k8s.conftest import Copy, Manifest


def kubectl(*words: str, told: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["kubectl", *words], input=told, capture_output=True, text=True, check=False
    )


@pytest.fixture(scope="module")
def named_apart(api: CoreV1Api, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Copy]:
    """The manifests with namespaces that are really there: a dry run makes none."""
    mark = uuid.uuid4().hex[:6]
    folder: Path = tmp_path_factory.mktemp("server")
    copy = copied(folder / "k8s", f"perennial-platform-{mark}", f"perennial-tasks-{mark}")
    assert copy.draw_secrets(S3).returncode == 0
    made = of(copy.objects("local"), "Namespace")
    done = kubectl("apply", "--filename", "-", told=yaml.safe_dump_all(made))
    assert done.returncode == 0, done.stderr
    yield copy
    kubectl("delete", "namespace", copy.platform, copy.tasks, "--wait=false")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_server_takes_it_without_a_warning(named_apart: Copy, overlay: str) -> None:
    objects = named_apart.objects(overlay)
    known = {line.split()[-1] for line in kubectl("api-resources").stdout.splitlines()[1:]}
    unknown = [one for one in objects if one["kind"] not in known]
    assert {one["kind"] for one in unknown} <= FOREIGN.keys()
    asked: list[Manifest] = [one for one in objects if one["kind"] in known]
    done = kubectl("apply", "--dry-run=server", "--filename", "-", told=yaml.safe_dump_all(asked))
    assert done.returncode == 0, done.stderr
    assert "Warning" not in done.stderr
    assert len(done.stdout.splitlines()) == len(asked)
