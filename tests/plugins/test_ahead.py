"""What the scheduler imports before it forks its first worker."""

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
    print("imported:", *sorted({{"kubernetes", "ml_launch.on_worker"}} & set(sys.modules)))
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
        ("SchedulerJob", {"PERENNIAL_LAUNCHER": "kubernetes"}, ""),
        ("TriggererJob", {"PERENNIAL_LAUNCHER": "local"}, ""),
    ],
)
def test_the_scheduler_alone_imports_its_launcher(
    job: str, variables: dict[str, str], wanted: str
) -> None:
    assert imported(job, **variables) == wanted
