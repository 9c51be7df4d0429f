"""What the thin image is given in a cluster: environment and checkout, from a read-only volume."""

from __future__ import annotations

import hashlib
import sys
import sysconfig
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

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


def require_python(said: str) -> None:
    """Make sure that the image's Python can import this interpreter's packages.

    Args:
        said: The version of the image's Python: `3.11`.

    Raises:
        ConfigError: It is another one.
    """
    own = f"{sys.version_info.major}.{sys.version_info.minor}"
    if said.strip() != own:
        raise ConfigError(
            f"--dev: the base image has Python {said.strip()}, wanted {own}, which .venv has; "
            "name another by --base"
        )


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
