"""One bench's results, kept as JSON, and how they were come by."""

from __future__ import annotations

import ast
import json
import os
import platform
import shutil
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil

from bench import ROOT
from bench.measured import Measured

if TYPE_CHECKING:
    from collections.abc import Iterable

PACKAGES = (
    "alibi-detect", "apache-airflow", "duckdb", "feast", "great-expectations", "numpy", "polars",
    "pyarrow", "pyiceberg", "scipy", "torch",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Section:
    """What one bench found, where and when."""

    name: str
    prose: str
    """The module's docstring."""
    about: dict[str, Any]
    measured: tuple[Measured, ...]

    @property
    def kept(self) -> bool:
        """Whether every bound is."""
        return all(one.kept for one in self.measured)

    def write(self, folder: Path) -> None:
        """Keep it as `<name>.json`."""
        folder.mkdir(parents=True, exist_ok=True)
        fields = {"about": self.about, "measured": [asdict(one) for one in self.measured]}
        text = json.dumps(fields, indent=2, ensure_ascii=False)
        (folder / f"{self.name}.json").write_text(f"{text}\n")


def read(name: str, module: Path, folder: Path) -> Section | None:
    """Give what a bench found when it last ran; `None` if it never did."""
    file = folder / f"{name}.json"
    if not file.is_file():
        return None
    found = json.loads(file.read_text())
    measured = tuple(Measured(**one) for one in found["measured"])
    return Section(name, prose(module), found["about"], measured)


def made(name: str, module: Path, measured: Iterable[Measured]) -> Section:
    """Run a bench to its end; say how the machine was when it began."""
    about = machine()
    return Section(name, prose(module), about, tuple(measured))


def prose(module: Path) -> str:
    """Give a module's docstring without importing it."""
    return ast.get_docstring(ast.parse(module.read_text())) or ""


def machine(packages: Iterable[str] = PACKAGES) -> dict[str, Any]:
    """Say on what, when and with which versions a bench runs, and what else the machine did."""
    return {
        "date": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "commit": _commit(),
        "cores": os.cpu_count(),
        "memory_gb": round(psutil.virtual_memory().total / 2**30, 1),
        "cpu": _cpu(),
        "system": platform.platform(),
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in packages},
        "load": [round(one, 2) for one in os.getloadavg()],
    }


def _commit() -> str:
    """Give the source's commit, and whether more than a bench's own outcome had changed since."""
    git = shutil.which("git")
    if git is None or not (ROOT / ".git").exists():
        return "unknown"
    others = ("--", ".", ":!bench/results", ":!docs/benchmarks.md",
              ":!docs/quality.md")  # fmt: skip
    head, changed = (
        subprocess.run(  # noqa: S603 - fixed words
            [git, *words], cwd=ROOT, capture_output=True, text=True, check=True
        ).stdout.strip()
        for words in (
            ("rev-parse", "--short", "HEAD"),
            ("status", "--porcelain", "--untracked-files=no", *others),
        )
    )
    return f"{head}, changed" if changed else head


def _cpu() -> str:
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return "not installed"
