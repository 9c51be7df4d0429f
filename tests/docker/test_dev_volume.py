from __future__ import annotations

import platform
import subprocess
import sys
from importlib.util import MAGIC_NUMBER
from pathlib import Path
from typing import Any

import pytest
import yaml

from ml_tasks.config import ROOT
from ml_tasks.errors import ConfigError
from perennial import dev_volume

MOUNTED = {"environment": Path("/nodes/site-packages"), "source": Path("/nodes/checkout")}


def test_each_folder_has_a_volume_that_only_its_claim_gets() -> None:
    made = dev_volume.volumes("ml", MOUNTED)
    for volume, claim in zip(made[::2], made[1::2], strict=True):
        assert (volume["kind"], claim["kind"]) == ("PersistentVolume", "PersistentVolumeClaim")
        assert claim["metadata"]["namespace"] == "ml"
        assert volume["spec"]["claimRef"] == {
            "namespace": "ml",
            "name": claim["metadata"]["name"],
        }
        assert claim["spec"]["volumeName"] == volume["metadata"]["name"]
        for one in (volume, claim):
            assert one["spec"]["accessModes"] == ["ReadOnlyMany"]
            assert one["spec"]["storageClassName"] == ""
    assert [v["spec"]["hostPath"]["path"] for v in made[::2]] == [str(p) for p in MOUNTED.values()]


def test_another_checkout_has_volumes_of_its_own() -> None:
    other = {**MOUNTED, "source": Path("/nodes/other")}
    names = [
        {one["metadata"]["name"] for one in dev_volume.volumes("ml", folders)}
        for folders in (MOUNTED, other)
    ]
    assert len(names[0] & names[1]) == 2


def test_a_pod_sees_code_and_packages_alone_and_cannot_write() -> None:
    made = dev_volume.pod("perennial/dev:1", MOUNTED)
    claims = {c["metadata"]["name"] for c in dev_volume.volumes("ml", MOUNTED)[1::2]}
    spec: dict[str, Any] = made["spec"]
    used = {v["persistentVolumeClaim"]["claimName"] for v in spec["volumes"]}
    assert made["kind"] == "Pod"
    assert used == claims
    (container,) = spec["containers"]
    assert container["name"] == "task"
    assert all(mount["readOnly"] for mount in container["volumeMounts"])
    seen = {m["subPath"] for m in container["volumeMounts"] if m["name"] == "source"}
    assert seen == {"ml_tasks", "feature_repo", "plugins", "dags", "requirements.lock"}
    assert all((ROOT / part).exists() for part in seen)


def test_what_is_mounted_is_what_runs_here() -> None:
    if sys.platform != "linux":
        with pytest.raises(ConfigError, match="--dev: came packages for"):
            dev_volume.folders()
        return
    found = dev_volume.folders()
    assert (found["environment"] / "yaml").is_dir()
    assert found["source"] == ROOT


def test_another_python_is_refused() -> None:
    bytecode = MAGIC_NUMBER.hex()
    for said in (f"2.7.18 {bytecode}\n", f"{platform.python_version()} 00000000\n"):
        with pytest.raises(ConfigError, match=r"the base image has Python .*, wanted 3\.\d+ with"):
            dev_volume.compared_python(said)


def test_another_patch_of_python_is_named() -> None:
    own = subprocess.run(
        [sys.executable, "-c", dev_volume.SAY_PYTHON], capture_output=True, text=True, check=True
    ).stdout
    assert dev_volume.compared_python(own) == ""
    version = platform.python_version()
    other = f"{version.rpartition('.')[0]}.999"
    said = dev_volume.compared_python(own.replace(version, other))
    assert f"the base image has Python {other}, .venv has {version}" in said
    assert "by --base" in said


def test_manifests_are_written_as_one_file(tmp_path: Path) -> None:
    made = [dev_volume.namespace("ml"), *dev_volume.volumes("ml", MOUNTED)]
    file = dev_volume.write(tmp_path / "images" / "volumes.yaml", made)
    assert list(yaml.safe_load_all(file.read_text())) == made
