from __future__ import annotations

import shutil
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from ml_launch import warm_client

from ml_tasks.config import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BARE = (
    "import os, sys; sys.path[0] = os.getcwd(); from ml_launch import warm; warm.AHEAD = (); "
    "warm.main(sys.argv[1:])"
)


@pytest.fixture
def checkout(tmp_path: Path) -> Iterator[Path]:
    """A copy of our modules, served by a warm launcher that knows no others' libraries."""
    folder = tmp_path / "checkout"
    for name in ("ml_tasks", "feature_repo"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    server = subprocess.Popen([sys.executable, "-c", BARE, str(tmp_path / "s")], cwd=folder)
    try:
        limit = time.monotonic() + 120
        while not (tmp_path / "s").exists():
            assert server.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.05)
        yield folder
    finally:
        server.kill()
        server.wait()


def asked(checkout: Path) -> tuple[int, str]:
    """Run a task of a pipeline that is not there; give its code and its log."""
    result = (checkout.parent / "result.json").as_uri()
    arguments = ["ingest", "--pipeline", "trains", "--run", "r", "--result", result]
    process = warm_client.connect(checkout.parent / "s", arguments, {"PERENNIAL_HOME": "/tmp"})  # noqa: S108
    assert process is not None
    said = "".join(process.lines)
    return process.wait(), said


def test_a_change_of_ours_is_seen_by_the_next_task(checkout: Path) -> None:
    code, said = asked(checkout)
    assert "pipeline 'trains': no file" in said
    file = checkout / "ml_tasks" / "config" / "files.py"
    text = file.read_text()
    file.write_text(text.replace("no file", "not a file"))
    assert "pipeline 'trains': not a file" in asked(checkout)[1]
    file.write_text("this is no Python")
    code, said = asked(checkout)
    assert code == 1
    assert "SyntaxError" in said
    file.write_text(text)
    assert "pipeline 'trains': no file" in asked(checkout)[1]
