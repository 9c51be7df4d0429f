"""Which test files one process runs, and in which order.

Files that share what takes long to make go to one process: no other one makes it too. Those that
wait for pods come before others that do not, so that the end is no waiting.
"""

from __future__ import annotations

from typing import Any

import pytest
from xdist.scheduler import LoadFileScheduling

TASKS = "tests/ml_tasks/"
TOGETHER = {
    "the laptop": ("tests/e2e/test_cluster.py", "tests/e2e/test_profiles.py"),
    "the story": ("tests/faults/story/", "tests/faults/test_resume.py"),
    "the warm launcher": (
        "tests/perennial/test_commands.py", "tests/perennial/test_parity.py",
        "tests/plugins/test_on_worker.py", "tests/plugins/test_ranks.py",
    ),
    "compiled detectors": (f"{TASKS}drift_tests/",),
    "three weeks": (
        f"{TASKS}prover/test_on_flights.py", f"{TASKS}test_assemble.py",
        f"{TASKS}test_champion_inputs.py", f"{TASKS}test_materialise.py",
        f"{TASKS}test_second_product.py", f"{TASKS}test_training_chain.py",
    ),
}  # fmt: skip
"""By what they share, how the paths of files begin."""
WAITING = ("tests/k8s/", "tests/plugins/cluster/")
"""What waits for pods, and for whoever takes the cluster apart meanwhile."""
AFTER = ("tests/perennial/", "tests/plugins/")
"""What runs when those that wait have begun."""


class Together(LoadFileScheduling):
    """Has a file, or those that belong together, for the least that a process is given."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((name for name, some in TOGETHER.items() if file.startswith(some)), file)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Take the place of what `--dist loadfile` names."""
    return Together(config, log) if config.getoption("dist") == "loadfile" else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let those that wait come sooner; all others stay in their order."""
    items.sort(key=_place)


def _place(item: pytest.Item) -> int:
    if item.nodeid.startswith(WAITING):
        return 1
    return 2 if item.nodeid.startswith(AFTER) else 0
