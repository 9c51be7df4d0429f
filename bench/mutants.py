"""Changes joins, gates, promotion and fencing a little, and counts what the tests notice.

`python -m bench.mutants [--seed N] [--number N] [FILE …]`: the committed tree is unpacked apart;
each change of a file is made there, and the tests that cover the file run on it in a process of
their own. A change that no test notices survives; it is shown, and more than a fifth is a failure.
"""

from __future__ import annotations

import argparse
import ast
import io
import os
import random
import signal
import subprocess
import sys
import tarfile
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from bench import ROOT
from bench.mutations import Mutant, mutants

if TYPE_CHECKING:
    from collections.abc import Sequence

WANTED = 0.8
"""Share of the changes that must be noticed."""
FENCING = "tests/ml_tasks/io/test_fencing.py"
CONTROL = (f"{FENCING}::TestLease", f"{FENCING}::TestTriggers", f"{FENCING}::TestChampions",
           "tests/ml_tasks/io/test_champions.py", "tests/ml_tasks/io/test_turns.py",
           "tests/ml_tasks/io/test_control.py", "tests/ml_tasks/io/test_triggers.py")  # fmt: skip
GATES = ("tests/ml_tasks/gates/test_edges.py", "tests/ml_tasks/test_judge.py",
         "tests/ml_tasks/gates")  # fmt: skip
ASSEMBLED = "tests/ml_tasks/test_assemble.py"
JOINED = (f"{ASSEMBLED}::test_ranges",
          f"{ASSEMBLED}::test_a_window_that_leaves_a_day_to_train_on_and_one_that_leaves_none",
          f"{ASSEMBLED}::test_a_row_belongs_to_the_part_that_it_lies_in_if_its_label_was_known_by_the_next",
          f"{ASSEMBLED}::test_the_part_whose_labels_are_wrong_is_named",
          f"{ASSEMBLED}::test_an_expression_that_is_wrong", ASSEMBLED)  # fmt: skip
REGISTERED = "tests/ml_tasks/test_training_chain.py::test_{}"
TESTS: dict[str, tuple[str, ...]] = {
    "feature_repo/offline_store.py": (
        "tests/feature_repo/test_offline_reads.py",
        "tests/feature_repo/test_offline_store.py",
    ),
    "feature_repo/point_in_time.py": (
        "tests/feature_repo/test_late_events.py",
        "tests/feature_repo/test_point_in_time.py",
    ),
    "ml_tasks/gates/__init__.py": GATES,
    "ml_tasks/gates/beats_baseline.py": GATES,
    "ml_tasks/gates/beats_champion.py": GATES,
    "ml_tasks/gates/bounds.py": GATES,
    "ml_tasks/gates/floor.py": GATES,
    "ml_tasks/gates/holm.py": GATES,
    "ml_tasks/gates/no_leak.py": GATES,
    "ml_tasks/gates/paired.py": GATES,
    "ml_tasks/gates/passing.py": (
        REGISTERED.format("a_verdict_about_another_model_is_refused"),
        REGISTERED.format("a_challenger_is_judged_against_the_champion"),
    ),
    "ml_tasks/gates/worst_segment.py": GATES,
    "ml_tasks/assemble.py": JOINED,
    "ml_tasks/prove.py": ("tests/ml_tasks/prover/test_on_flights.py",),
    "ml_tasks/io/labels.py": JOINED,
    "ml_tasks/io/registry.py": (
        "tests/ml_tasks/io/test_registry.py",
        "tests/ml_tasks/test_promote.py",
    ),
    "ml_tasks/register.py": (
        REGISTERED.format("semantic_versions"),
        "tests/ml_tasks/test_promote.py",
        REGISTERED.format("registering_and_promoting_again_changes_nothing"),
        REGISTERED.format("a_verdict_about_another_model_is_refused"),
    ),
    "ml_tasks/promote.py": ("tests/ml_tasks/test_promote.py",),
    "ml_tasks/io/audit.py": ("tests/ml_tasks/io/test_audit.py", *CONTROL),
    "ml_tasks/io/champions.py": CONTROL,
    "ml_tasks/io/leases.py": CONTROL,
    "ml_tasks/io/triggers.py": CONTROL,
    "ml_tasks/io/lake.py": (f"{FENCING}::TestLake", "tests/ml_tasks/io/test_lake.py"),
    "ml_tasks/io/commits.py": (f"{FENCING}::TestLake", "tests/ml_tasks/test_schema_evolution.py"),
}
"""By file that is changed: the tests that cover it, the quick ones first."""
PARTS = {
    "ml_tasks/io/registry.py": ("draft", "publish", "under", "_tidy", "follow"),
    "ml_tasks/register.py": ("next_version", "run", "_register"),
}
"""By file that holds more than promotion: the functions that alone are changed."""
MEMORY = Path("/dev/shm")  # noqa: S108 - where it is there, nothing waits for a disk
LIBRARIES = ("alembic", "feast", "mlflow", "polars", "pyarrow.parquet", "pydantic_settings",
             "pyiceberg.catalog.sql", "pytest", "scipy.special", "sqlalchemy", "yaml")  # fmt: skip
"""Imported once for all; nothing of this repository, which is what changes."""
PATIENCE = 30
"""Seconds, beside five times what the tests take on the file as it is."""


@dataclass(frozen=True, slots=True)
class Tried:
    """What became of the changes."""

    killed: Counter[str] = field(default_factory=Counter)
    survived: list[Mutant] = field(default_factory=list)

    @property
    def share(self) -> float:
        """Share that was noticed."""
        return self.killed.total() / max(self.killed.total() + len(self.survived), 1)


def main(argv: Sequence[str] | None = None) -> int:
    """Try a sample of the changes; give 1 where the tests notice too few."""
    parser = argparse.ArgumentParser(prog="python -m bench.mutants", description=__doc__)
    parser.add_argument("files", nargs="*", help=f"some of {', '.join(TESTS)}; all when empty")
    parser.add_argument("--seed", type=int, default=1, help="of the sample")
    parser.add_argument("--number", type=int, default=200, help="how many changes are tried")
    told = parser.parse_args(argv)
    for name in LIBRARIES:
        __import__(name)
    with tempfile.TemporaryDirectory(dir=MEMORY if MEMORY.is_dir() else None) as folder:
        tree = Path(folder)
        commit = _unpack(tree)
        files = told.files or list(TESTS)
        known = {file: within(file, (tree / file).read_text()) for file in files}
        chosen = sample(known, told.number, told.seed)
        total = sum(map(len, known.values()))
        print(f"commit {commit}, seed {told.seed}: {len(chosen)} of {total} changes", flush=True)
        tried = attempt(tree, chosen)
    for file in files:
        here = sum(one.file == file for one in tried.survived)
        print(f"{file}: {tried.killed[file]} of {tried.killed[file] + here} noticed")
    for one in tried.survived:
        print(f"survived: {one.diff}")
    print(f"noticed: {tried.share:.1%}, wanted {WANTED:.0%} at least")
    return int(tried.share < WANTED)


def within(file: str, source: str) -> list[Mutant]:
    """Give the changes of a file, or of those of its functions that count."""
    found = mutants(file, source)
    if file not in PARTS:
        return found
    lines = {
        line
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef) and node.name in PARTS[file]
        for line in range(node.lineno, (node.end_lineno or 0) + 1)
    }
    return [one for one in found if one.line in lines]


def sample(known: dict[str, list[Mutant]], number: int, seed: int) -> list[Mutant]:
    """Draw changes, of each file its part."""
    draw, total = random.Random(seed), sum(map(len, known.values()))  # noqa: S311 - a sample
    chosen = []
    for found in known.values():
        part = min(len(found), max(1, round(number * len(found) / max(total, 1))))
        chosen += draw.sample(found, part)
    return chosen


def attempt(tree: Path, chosen: Sequence[Mutant]) -> Tried:
    """Run the tests on each change; first on each file as it is, which has to be good."""
    tried, limits = Tried(), {}
    for place, one in enumerate(chosen, start=1):
        file = tree / one.file
        if one.file not in limits:
            began = time.monotonic()
            if not passes(tree, TESTS[one.file], limit=600):
                sys.exit(f"{TESTS[one.file]}: they fail on the tree as it is; nothing is told")
            limits[one.file] = 5 * (time.monotonic() - began) + PATIENCE
        before = file.read_text()
        file.write_text(one.source)
        if passes(tree, TESTS[one.file], limit=limits[one.file]):
            tried.survived.append(one)
            print(f"{place}/{len(chosen)} survived: {one.diff}", flush=True)
        else:
            tried.killed[one.file] += 1
        file.write_text(before)
    return tried


def passes(tree: Path, tests: Sequence[str], *, limit: float) -> bool:
    """Run tests in a fork of this process, which has the libraries; too long is not passed."""
    sys.stdout.flush()
    child = os.fork()
    if not child:
        os._exit(_run(tree, tests))
    deadline = time.monotonic() + limit
    while time.monotonic() < deadline:
        ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            return os.waitstatus_to_exitcode(status) == 0
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _run(tree: Path, tests: Sequence[str]) -> int:
    import pytest

    os.setsid()
    os.chdir(tree)
    sys.path[:0] = [str(tree), str(tree / "plugins")]
    os.environ["PYTHONPATH"] = f"{tree}:{tree / 'plugins'}"  # noqa: TID251 - for children
    sys.dont_write_bytecode = True
    quiet = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(quiet, stream)
    options = ["-x", "-q", "-p", "no:cacheprovider", "-k", "not postgres"]
    return int(pytest.main([*options, f"--basetemp={tree}/.tests", *tests]))


def _unpack(tree: Path) -> str:
    """Lay out the committed tree; give the commit."""

    def git(*words: str) -> bytes:
        return subprocess.run(["git", *words], cwd=ROOT, check=True, capture_output=True).stdout  # noqa: S603, S607

    with tarfile.open(fileobj=io.BytesIO(git("archive", "HEAD"))) as archive:
        archive.extractall(tree, filter="data")
    return git("rev-parse", "--short", "HEAD").decode().strip()


if __name__ == "__main__":
    sys.exit(main())
