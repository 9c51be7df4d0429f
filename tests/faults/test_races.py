"""Many promote at once: one wins, the others are told by whom they lost.

50 races of 16 processes; with `PERENNIAL_FAULTS=all` 1,000.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from ml_tasks.io.control import Control

PROMOTERS = 16


def test_races_on_control(database_url: str, full: bool) -> None:
    races, url = 1_000 if full else 50, database_url
    script = Path(__file__).with_name("promoters.py")
    done = subprocess.run(
        [sys.executable, str(script), url, str(races), str(PROMOTERS)],
        capture_output=True,
        text=True,
        check=True,
        timeout=3_000,
    )
    ended, control = json.loads(done.stdout), Control(url)
    for race in range(races):
        (winner,) = (own for own in range(PROMOTERS) if ended[own][race] is None)
        head = control.champion(f"race{race}")
        assert head is not None
        assert (head.version, head.run) == (str(winner), f"run{winner}")
        for own in set(range(PROMOTERS)) - {winner}:
            assert f"but {winner} is champion since" in ended[own][race]
            assert f"by run run{winner}; train or judge again" in ended[own][race]
    assert len(control.audit()) == races
    assert control.verify_audit() is None
