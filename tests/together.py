"""Gives test files that share what takes long to make to one process: no other one makes it too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from xdist.scheduler import LoadFileScheduling

if TYPE_CHECKING:
    import pytest

TASKS = "tests/ml_tasks/"
TOGETHER = {
    "the story": ("tests/faults/",),
    "compiled detectors": (f"{TASKS}drift_tests/",),
    "three weeks": (
        f"{TASKS}prover/test_on_flights.py", f"{TASKS}test_assemble.py",
        f"{TASKS}test_champion_inputs.py", f"{TASKS}test_materialise.py",
        f"{TASKS}test_second_product.py", f"{TASKS}test_training_chain.py",
    ),
}  # fmt: skip
"""By what they share, how the paths of files begin."""


class Together(LoadFileScheduling):
    """Has a file, or those that belong together, for the least that a process is given."""

    def _split_scope(self, nodeid: str) -> str:
        file: str = super()._split_scope(nodeid)
        return next((name for name, some in TOGETHER.items() if file.startswith(some)), file)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadFileScheduling | None:
    """Take the place of what `--dist loadfile` names."""
    return Together(config, log) if config.getoption("dist") == "loadfile" else None
