"""Runs one bench in a process of its own and keeps what it found."""

from __future__ import annotations

import importlib.util
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from bench import section

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from bench.measured import Measured


def main(argv: list[str]) -> int:
    """Measure in a folder that is removed afterwards."""
    name, file, results = argv
    module = _imported(Path(file))
    with tempfile.TemporaryDirectory(prefix=f"bench-{name}-") as folder:
        found = section.made(name, Path(file), _said(module.measure(Path(folder))))
    found.write(Path(results))
    return 0


def _imported(file: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"bench.{file.stem}", file)
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules[spec.name] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _said(measured: Iterator[Measured]) -> Iterator[Measured]:
    for one in measured:
        print(
            f"{one.what}: {one.ours:.4g} {one.unit}, {one.peer} {one.theirs:.4g}: {one.ratio:.2f}"
            f"{'' if one.kept else f', promised were at most {one.bound:.2f}'}",
            flush=True,
        )
        yield one


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
