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
from ml_tasks.io.content import bytes_hash

if TYPE_CHECKING:
    from ml_tasks.config import Pipeline

CODE = ("ml_tasks", "feature_repo")
SHORT = 16


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
        "packages": _packages(),
        "python": platform.python_version(),
        "threads": os.environ.get("OMP_NUM_THREADS", ""),
        "cpu": f"{platform.machine()} {os.environ.get('ATEN_CPU_CAPABILITY') or _vectors()}",
    }


@cache
def _code() -> str:
    files = sorted(file for part in CODE for file in (ROOT / part).rglob("*.py"))
    told = [f"{file.relative_to(ROOT)} {bytes_hash(file.read_bytes())}" for file in files]
    return bytes_hash("\n".join(told).encode())[:SHORT]


@cache
def _packages() -> str:
    """Hash the names of metadata folders: they hold name and version, and nothing is opened."""
    places = {Path(place) for place in [*sys.path, sysconfig.get_path("purelib")]}
    found = {one.name for place in places if place.is_dir() for one in place.glob("*.dist-info")}
    return bytes_hash("\n".join(sorted(found)).encode())[:SHORT]


@cache
def _vectors() -> str:
    """Give the widest vector instructions, by the names of PyTorch's capabilities."""
    try:
        flags = Path("/proc/cpuinfo").read_text().split("flags", 1)[1].split("\n", 1)[0]
    except (OSError, IndexError):
        return platform.processor()
    known = flags.split()
    return "avx512" if "avx512f" in known else "avx2" if "avx2" in known else "default"
