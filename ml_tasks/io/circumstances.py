"""What a task's outputs may depend on beside its inputs."""

from __future__ import annotations

import os
import platform
import sys
import sysconfig
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

from ml_tasks.config import ROOT
from ml_tasks.io import objects
from ml_tasks.io.content import bytes_hash

if TYPE_CHECKING:
    from ml_tasks.config import Pipeline

CODE = ("ml_tasks", "feature_repo")
SHORT = 16
METADATA = ".dist-info"


def here(pipeline: Pipeline) -> dict[str, str]:
    """Give what stands around a task, in words that are equal where its outputs should be.

    Returns:
        `settings`, `code` and `packages` as hashes (of the pipeline's YAML as it was read, of our
        source files, of names and versions of what is installed), `python`, the number of
        `threads` and the `cpu`'s vector instructions, by which libraries choose their kernels.
    """
    return {
        "settings": bytes_hash(pipeline.model_dump_json().encode())[:SHORT],
        "code": _code(),
        "packages": _packages()[0],
        "python": platform.python_version(),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "cpu": f"{platform.machine()} {os.environ.get('ATEN_CPU_CAPABILITY') or _vectors()}",
    }


@cache
def _code() -> str:
    files = sorted(file for part in CODE for file in (ROOT / part).rglob("*.py"))
    told = [f"{file.relative_to(ROOT)} {bytes_hash(file.read_bytes())}" for file in files]
    return bytes_hash("\n".join(told).encode())[:SHORT]


def keep_packages(root: str) -> None:
    """Leave the list of packages below a root, once for all tasks that stand on the same ones."""
    digest, found = _packages()
    uri = _list_at(root, digest)
    if not objects.exists(uri):
        objects.write_text(uri, "\n".join(found))


def packages(root: str, digest: str) -> dict[str, str] | None:
    """Give versions by name of the packages with this hash; `None` where no task has left them."""
    uri = _list_at(root, digest)
    if not objects.exists(uri):
        return None
    pairs = (line.removesuffix(METADATA).split("-", 1) for line in objects.read_text(uri).split())
    return dict(pairs)


def _list_at(root: str, digest: str) -> str:
    return f"{root}/packages/{digest}.txt"


@cache
def _packages() -> tuple[str, list[str]]:
    """Give names of metadata folders and their hash: name and version; nothing is opened."""
    places = {Path(place) for place in [*sys.path, sysconfig.get_path("purelib")]}
    found = {one.name for place in places if place.is_dir() for one in place.glob(f"*{METADATA}")}
    told = sorted(found)
    return bytes_hash("\n".join(told).encode())[:SHORT], told


@cache
def _vectors() -> str:
    """Give the widest vector instructions, by the names of PyTorch's capabilities."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0]
    except (OSError, IndexError):
        return platform.processor()
    known = flags.split()
    return "avx512" if "avx512f" in known else "avx2" if "avx2" in known else "default"
