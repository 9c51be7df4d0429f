"""What parts of Airflow import before they begin."""

from __future__ import annotations

import subprocess
import sys
from textwrap import dedent

import pytest

from ml_tasks.config import ROOT

SAY = """
    import sys
    from types import SimpleNamespace

    from ml_launch import ahead

    ahead.on_starting(SimpleNamespace(job_type={job!r}))
    heavy = {{"kubernetes", "kubernetes_asyncio", "ml_launch.on_worker"}}
    print("imported:", *sorted(heavy & set(sys.modules)))
"""


def imported(job: str, **variables: str) -> str:
    """Give what a process of a service has imported after its start."""
    done = subprocess.run(
        [sys.executable, "-c", dedent(SAY.format(job=job))],
        env={"PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}", **variables},
        check=True,
        capture_output=True,
        text=True,
    )
    return done.stdout.rpartition("imported:")[2].strip()


@pytest.mark.parametrize(
    ("job", "variables", "wanted"),
    [
        ("SchedulerJob", {"PERENNIAL_LAUNCHER": "local"}, "ml_launch.on_worker"),
        (
            "SchedulerJob",
            {"PERENNIAL_LAUNCHER": "kubernetes", "PERENNIAL_PROFILE": "servers"},
            "kubernetes",
        ),
        (
            "TriggererJob",
            {"PERENNIAL_LAUNCHER": "kubernetes", "PERENNIAL_PROFILE": "servers"},
            "kubernetes_asyncio",
        ),
        ("SchedulerJob", {"PERENNIAL_LAUNCHER": "kubernetes"}, ""),
        ("TriggererJob", {"PERENNIAL_LAUNCHER": "local"}, ""),
    ],
)
def test_each_part_imports_what_it_will_need(
    job: str, variables: dict[str, str], wanted: str
) -> None:
    assert imported(job, **variables) == wanted
