"""What parts of Airflow import before they begin."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent
from typing import TYPE_CHECKING

import pytest

from ml_tasks.config import ROOT

if TYPE_CHECKING:
    from pathlib import Path

SAY = """
    import sys

    sys.argv = ["airflow", {part!r}]
    from airflow.jobs.job import Job
    from airflow.listeners.listener import get_listener_manager

    from ml_launch import ahead

    get_listener_manager().add_listener(ahead)
    Job()
    heavy = {{"kubernetes", "kubernetes_asyncio", "ml_launch.on_worker"}}
    print("imported:", *sorted(heavy & set(sys.modules)))
"""


def imported(part: str, home: Path, **variables: str) -> str:
    """Give what a process of a service has imported after its start."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(SAY.format(part=part))],
        env={
            "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
            "AIRFLOW_HOME": str(home),
            **variables,
        },
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.rpartition("imported:")[2].strip()


@pytest.mark.parametrize(
    ("part", "variables", "wanted"),
    [
        ("scheduler", {"PERENNIAL_LAUNCHER": "local"}, "ml_launch.on_worker"),
        (
            "scheduler",
            {"PERENNIAL_LAUNCHER": "kubernetes", "PERENNIAL_PROFILE": "servers"},
            "kubernetes",
        ),
        (
            "triggerer",
            {"PERENNIAL_LAUNCHER": "kubernetes", "PERENNIAL_PROFILE": "servers"},
            "kubernetes_asyncio",
        ),
        ("scheduler", {"PERENNIAL_LAUNCHER": "kubernetes"}, ""),
        ("triggerer", {"PERENNIAL_LAUNCHER": "local"}, ""),
    ],
)
def test_each_part_imports_what_it_will_need(
    tmp_path: Path, part: str, variables: dict[str, str], wanted: str
) -> None:
    assert imported(part, tmp_path, **variables) == wanted
