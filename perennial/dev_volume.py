"""What the thin image is given in a cluster: environment and checkout, from a read-only volume."""

from __future__ import annotations

import hashlib
import platform
import sys
import sysconfig
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml
from ml_launch.cluster.job import OWN

from ml_tasks.config import ROOT
from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Sequence

Manifest = dict[str, Any]
CONTAINER = "task"
ENVIRONMENT, SOURCE = "environment", "source"
SITE = "/opt/venv/lib/python3.11/site-packages"
"""Where images have their packages; the thin one has an empty folder there."""
ROOT_IN_IMAGE = "/opt/perennial"
CODE = ("ml_tasks", "feature_repo", "plugins", "dags", "requirements.lock")
"""What pods see of the checkout: not its state, which holds passwords."""


SAY_PYTHON = (
    "import platform, importlib.util as found\n"
    "print(platform.python_version(), found.MAGIC_NUMBER.hex())"
)


def folders() -> dict[str, Path]:
    """Give what is mounted: this interpreter's packages, and the checkout.

    Raises:
        ConfigError: The packages are not for Linux.
    """
    if sys.platform != "linux":
        raise ConfigError(
            f"--dev: came packages for {sys.platform}, wanted linux, as pods run it: build an "
            "image, or call it on Linux"
        )
    return {ENVIRONMENT: Path(sysconfig.get_path("purelib")).resolve(), SOURCE: ROOT}


def compared_python(said: str) -> str:
    """Hold the image's Python against this interpreter, whose packages it is to import.

    Args:
        said: What `SAY_PYTHON` says in the image: version and number of its bytecode.

    Returns:
        How its standard library differs; empty where it does not.

    Raises:
        ConfigError: It cannot import them: another minor version, or another bytecode.
    """
    image, _space, bytecode = said.strip().partition(" ")
    own = platform.python_version()
    if _minor(image) != _minor(own) or bytecode != MAGIC_NUMBER.hex():
        raise ConfigError(
            f"--dev: the base image has Python {image}, wanted {_minor(own)} with the bytecode of "
            f"{own}, which .venv has; name another by --base"
        )
    if image == own:
        return ""
    return (
        f"the base image has Python {image}, .venv has {own}: packages load, but what runs in pods "
        f"has the standard library of {image}, and perennial parity will name it where outputs "
        f"differ; for the same take a base with {own} by --base, or make .venv with {image}"
    )


def _minor(version: str) -> str:
    return version.rpartition(".")[0]


def namespace(name: str) -> Manifest:
    """Make the namespace: claims are made there before `perennial up` finds it."""
    labels = {**OWN, "pod-security.kubernetes.io/enforce": "restricted"}
    return {
        "apiVersion": "v1",
        "kind": "Namespace",
        "metadata": {"name": name, "labels": labels},
    }


def volumes(namespace: str, mounted: dict[str, Path]) -> list[Manifest]:
    """Make a volume and its claim for each folder; pods may mount claims, but no host's path.

    Args:
        namespace: Where the pods will be.
        mounted: Folders of the nodes.
    """
    made: list[Manifest] = []
    for part, folder in mounted.items():
        name = _name(part, folder)
        common = {
            "accessModes": ["ReadOnlyMany"],
            "storageClassName": "",
        }
        made += [
            {
                "apiVersion": "v1",
                "kind": "PersistentVolume",
                "metadata": {"name": f"{namespace}-{name}"},
                "spec": common
                | {
                    "capacity": {"storage": "1Gi"},
                    "persistentVolumeReclaimPolicy": "Retain",
                    "claimRef": {"namespace": namespace, "name": name},
                    "hostPath": {"path": str(folder), "type": "Directory"},
                },
            },
            {
                "apiVersion": "v1",
                "kind": "PersistentVolumeClaim",
                "metadata": {"name": name, "namespace": namespace},
                "spec": common
                | {
                    "volumeName": f"{namespace}-{name}",
                    "resources": {"requests": {"storage": "1Gi"}},
                },
            },
        ]
    return made


def pod(reference: str, mounted: dict[str, Path]) -> Manifest:
    """Make a pod's template: what the launcher adds its own to.

    Args:
        reference: Name of the thin image.
        mounted: As for `volumes`.
    """
    mounts = [{"name": ENVIRONMENT, "mountPath": SITE, "readOnly": True}]
    mounts += [
        {
            "name": SOURCE,
            "mountPath": f"{ROOT_IN_IMAGE}/{part}",
            "subPath": part,
            "readOnly": True,
        }
        for part in CODE
    ]
    claims = [
        {
            "name": part,
            "persistentVolumeClaim": {"claimName": _name(part, folder), "readOnly": True},
        }
        for part, folder in mounted.items()
    ]
    container = {
        "name": CONTAINER,
        "image": reference,
        "imagePullPolicy": "IfNotPresent",
        "volumeMounts": mounts,
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {},
        "spec": {"containers": [container], "volumes": claims},
    }


def _name(part: str, folder: Path) -> str:
    # A volume's path cannot be changed later: another checkout has volumes of its own.
    return f"perennial-{part}-{hashlib.sha256(str(folder).encode()).hexdigest()[:8]}"


def write(file: Path, manifests: Sequence[Manifest]) -> Path:
    """Write manifests as one file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(yaml.safe_dump_all(manifests, sort_keys=False))
    return file
