from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING

import pytest
from ml_launch.orphan import WHY, let_go_with_parent

if TYPE_CHECKING:
    from pathlib import Path

OPERATOR = """
import sys, threading
from pathlib import Path
from ml_launch.orphan import let_go_with_parent
folder, stopped = Path(sys.argv[1]), threading.Event()
def stop(why):
    (folder / "draft").write_text(why)
    (folder / "draft").rename(folder / "why")
    stopped.set()
with let_go_with_parent(stop):
    (folder / "begun").touch()
    stopped.wait(60)
"""
SUPERVISOR = """
import subprocess, sys
subprocess.Popen([sys.executable, "-c", sys.argv[1], sys.argv[2]], process_group=0).wait()
"""


def there(file: Path) -> bool:
    limit = time.monotonic() + 60
    while not file.exists() and time.monotonic() < limit:
        time.sleep(0.05)
    return file.exists()


def test_a_task_whose_supervisor_was_killed_is_ended(tmp_path: Path) -> None:
    supervisor = subprocess.Popen(
        [sys.executable, "-c", SUPERVISOR, OPERATOR, str(tmp_path)], start_new_session=True
    )
    assert there(tmp_path / "begun")
    os.killpg(supervisor.pid, signal.SIGKILL)
    supervisor.wait()
    assert there(tmp_path / "why")
    assert (tmp_path / "why").read_text() == WHY


def test_a_task_whose_supervisor_lives_is_left_alone() -> None:
    told: list[str] = []
    with let_go_with_parent(told.append):
        time.sleep(0.6)
    with pytest.raises(TimeoutError), let_go_with_parent(told.append):
        raise TimeoutError
    assert told == []
