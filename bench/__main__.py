"""Runs benches and writes `docs/benchmarks.md`: `python -m bench [NAME …]`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from bench import ROOT, section
from bench.page import page

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FOLDER = Path(__file__).parent
BENCHES = {
    "parsing": "parsing.py",
    "scheduler": "scheduler.py",
    "scheduler_defaults": "scheduler_defaults.py",
    "launching": "launching.py",
    "pods": "pods.py",
    "validation": "validation.py",
    "ingestion": "ingestion.py",
    "as_of": "as_of.py",
    "training": "training.py",
    "drift": "drift.py",
}
"""Name and file of each bench; the page has them in this order."""
LONG = frozenset({"scheduler_defaults"})
"""Those that take more than some minutes: they run where they are named."""
WANTED = {
    "pods": ("KUBECONFIG", "PERENNIAL_TEST_HOST", "PERENNIAL_TEST_IMAGE", "AWS_ENDPOINT_URL"),
}
"""Variables without which a bench has nothing to measure on."""


def run(
    names: Sequence[str],
    *,
    benches: Mapping[str, Path],
    results: Path,
    report: Path,
) -> int:
    """Run benches, each in a process of its own; write the page of all that ever ran.

    Returns:
        1 where a bench crashed, or where one of those that ran breaks a bound.
    """
    crashed = [
        name
        for name in names
        if subprocess.run(  # noqa: S603 - our own words
            [sys.executable, "-m", "bench.one", name, str(benches[name]), str(results)],
            cwd=ROOT,
            check=False,
        ).returncode
    ]
    found = [section.read(name, file, results) for name, file in benches.items()]
    sections = [one for one in found if one is not None]
    report.write_text(page(sections))
    broken = [one.name for one in sections if one.name in names and not one.kept]
    for words, which in (("crashed", crashed), ("broke a bound", broken)):
        if which:
            print(f"{words}: {', '.join(which)}", file=sys.stderr)
    return int(bool(crashed or broken))


def missing(name: str) -> list[str]:
    """Give the variables that a bench wants and that are not set."""
    return [variable for variable in WANTED.get(name, ()) if not os.environ.get(variable)]  # noqa: TID251


def main(argv: Sequence[str] | None = None) -> int:
    """Run the benches that are named, or all that are not long."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(BENCHES)}")
    names = parser.parse_args(argv).names
    if unknown := sorted(set(names) - set(BENCHES)):
        parser.error(f"came {', '.join(unknown)}; wanted some of {', '.join(BENCHES)}")
    lacking = {name: missing(name) for name in BENCHES if missing(name)}
    for name in lacking:
        said = f"{name}: {', '.join(lacking[name])} not set: wanted a cluster, see bench/{name}.py"
        if name in names:
            parser.error(said)
        if not names:
            print(f"left out: {said}")
    return run(
        names or [name for name in BENCHES if name not in LONG and name not in lacking],
        benches={name: FOLDER / file for name, file in BENCHES.items()},
        results=FOLDER / "results",
        report=ROOT / "docs" / "benchmarks.md",
    )


if __name__ == "__main__":
    sys.exit(main())
