"""A second try of a test is cut off as the first one is."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

from ml_tasks.config import ROOT

if TYPE_CHECKING:
    from pathlib import Path

FAILS_THEN_SLEEPS = """
import pathlib, time
def test_it():
    begun = pathlib.Path(__file__).with_name("begun")
    if begun.exists():
        time.sleep(60)
    begun.touch()
    raise AssertionError("the first try")
"""


def test_a_second_try_has_a_limit(tmp_path: Path) -> None:
    (file := tmp_path / "test_it.py").write_text(FAILS_THEN_SLEEPS)
    told = ["-c", os.devnull, "--rootdir", tmp_path, "--reruns", "1", "--timeout", "1", "-n", "0"]
    plugins = ["-p", "tests.tries", "-p", "tests.at_once", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *plugins, *told, file],
        cwd=ROOT, capture_output=True, text=True, timeout=30, check=False,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "call rerun" in done.stdout
    assert "AssertionError: the first try" in done.stdout
    assert "Timeout" in done.stdout
