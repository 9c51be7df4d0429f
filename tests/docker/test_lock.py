"""What an image gets is what the lock says, hash by hash."""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tomllib
import zipfile
from importlib.metadata import PackageNotFoundError, requires
from typing import TYPE_CHECKING

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from ml_tasks.config import ROOT

if TYPE_CHECKING:
    from pathlib import Path

WHOLE = tomllib.loads((ROOT / "pyproject.toml").read_text())
PROJECT = WHOLE["project"]
OVERRIDES = [Requirement(line) for line in WHOLE["tool"]["uv"]["override-dependencies"]]
LEFT_OUT = {one.name for one in OVERRIDES if one.marker and not one.marker.evaluate()}
LOCK = (ROOT / "requirements.lock").read_text()
PINS = dict(re.findall(r"^([a-z0-9-]+)==([^ ;\\]+)", LOCK, re.MULTILINE))
UV = shutil.which("uv") or shutil.which("uv", path=str(ROOT / ".tools" / "bin"))
needs_uv = pytest.mark.skipif(UV is None, reason="uv is not here: make setup")


def needed(extra: str) -> set[str]:
    """Names of all that an extra brings, by what the installed packages say they need."""
    lines = [*PROJECT["dependencies"], *PROJECT["optional-dependencies"][extra]]
    waiting = [Requirement(line) for line in lines]
    seen: set[tuple[str, frozenset[str]]] = set()
    while waiting:
        one = waiting.pop()
        key = (canonicalize_name(one.name), frozenset(one.extras))
        if key in seen:
            continue
        seen.add(key)
        try:
            below = requires(one.name) or []
        except PackageNotFoundError:
            pytest.fail(f"{one.name} is needed by {extra} and not installed")
        for line in below:
            other = Requirement(line)
            if canonicalize_name(other.name) in LEFT_OUT:
                continue
            chosen = [{"extra": e} for e in ("", *one.extras)]
            if other.marker is None or any(other.marker.evaluate(c) for c in chosen):
                waiting.append(other)
    return {name for name, _ in seen}


@pytest.mark.parametrize(
    ("extra", "there", "missing"),
    [
        (
            "tasks",
            {"torch", "feast", "mlflow", "lightgbm", "alibi-detect"},
            {"apache-airflow", "pytest", "ruff", "transformers", "opencv-python"},
        ),
        (
            "airflow",
            {"apache-airflow", "kubernetes"},
            {"torch", "feast", "mlflow", "lightgbm", "great-expectations", "pytest"},
        ),
        ("serving", {"fastapi", "onnxruntime"}, {"torch", "apache-airflow", "feast", "pytest"}),
    ],
)
def test_an_images_packages_are_in_the_lock(extra: str, there: set[str], missing: set[str]) -> None:
    names = needed(extra)
    assert names <= set(PINS)
    assert there <= names
    assert not missing & names


def wheel(folder: Path, name: str) -> str:
    """Make a small package; give its hash."""
    file = folder / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(
            f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: test\nTag: py3-none-any\n"
        )
        archive.writestr(f"{info}/RECORD", "")
    return hashlib.sha256(file.read_bytes()).hexdigest()


@needs_uv
@pytest.mark.parametrize("right", [True, False])
def test_a_constraint_with_a_hash_refuses_other_wheels(tmp_path: Path, right: bool) -> None:
    digest = wheel(tmp_path, "perennial_sample") if right else "0" * 64
    wheel(tmp_path, "perennial_sample")
    (tmp_path / "in.txt").write_text("perennial_sample\n")
    (tmp_path / "lock").write_text(f"perennial-sample==1.0 \\\n    --hash=sha256:{digest}\n")
    done = subprocess.run(
        [
            *(str(UV), "pip", "install", "--quiet", "--no-cache", "--no-index"),
            *("--find-links", tmp_path, "--target", tmp_path / "site"),
            *("--requirement", tmp_path / "in.txt", "--constraint", tmp_path / "lock"),
        ],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (tmp_path / "site" / "perennial_sample.py").is_file() == right
    assert ("Hash mismatch" in done.stderr) != right


def test_another_torch_gives_up_its_hashes_alone(tmp_path: Path) -> None:
    script = (ROOT / "docker" / "install").read_text()
    command = next(line.strip() for line in script.splitlines() if line.strip().startswith("awk"))
    shutil.copy(ROOT / "requirements.lock", tmp_path)
    subprocess.run(["sh", "-c", command], cwd=tmp_path, check=True)
    left = (tmp_path / "lock").read_text()
    block = re.search(r"^torch==.*?\n(?=\S)", LOCK, re.MULTILINE | re.DOTALL)
    assert block is not None
    assert left == LOCK.replace(block.group(0), f"torch=={PINS['torch']}\n")


@pytest.mark.parametrize("name", ["cyclonedx-bom", "uv"])
def test_what_builds_is_locked_too(name: str) -> None:
    text = (ROOT / "docker" / "tools.lock").read_text()
    assert re.search(rf"^{name}==\S+ \\\n    --hash=sha256:", text, re.MULTILINE)
