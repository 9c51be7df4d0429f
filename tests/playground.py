"""A cluster that tests may play with, and namespaces there."""

from __future__ import annotations

import os
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from kubernetes.client import CoreV1Api

RESTRICTED = {"pod-security.kubernetes.io/enforce": "restricted"}


def found() -> CoreV1Api:
    """Give the cluster that KUBECONFIG names; without one the test is skipped, but for CI's."""
    from kubernetes import client, config

    if not os.environ.get("KUBECONFIG"):  # noqa: TID251
        if os.environ.get("CI"):  # noqa: TID251
            pytest.fail("KUBECONFIG is not set: with CI set a cluster is wanted")
        pytest.skip("no cluster: set KUBECONFIG to that of one which may be played with")
    config.load_kube_config()
    return client.CoreV1Api()


@contextmanager
def restricted(core: CoreV1Api, purpose: str = "test") -> Iterator[str]:
    """Make a namespace that lets in restricted pods alone; it is removed after."""
    name = f"perennial-{purpose}-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name, "labels": RESTRICTED}})
    try:
        yield name
    finally:
        core.delete_namespace(name)
