from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from ml_tasks.config import Environment
from ml_tasks.io.control import Control
from perennial.__main__ import main

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def control(home: object) -> Control:
    made = Control(Environment().control)
    made.migrate()
    for pipeline, version, before in (("p", "1", None), ("q", "1", None), ("p", "2", "1")):
        made.promote(
            pipeline, version, expected=before, run=f"r{version}", verdict_uri="file:///v",
            who="judge", why="all [3] gates passed",
        )  # fmt: skip
    return made


def test_it_shows_who_and_why(control: Control, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "show", "-p", "p"]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert [line[0] for line in lines] == ["1", "3"]
    assert lines[1][3:7] == [
        "promote", "judge", "all [3] gates passed",
        "version 2, before 1, run r2, verdict file:///v",
    ]  # fmt: skip
    assert main(["audit", "show", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [entry["hash"] for entry in told] == [entry.hash for entry in control.audit()]
    assert main(["audit", "show", "-p", "flight_delays"]) == 0
    assert "the log has no entry of flight_delays" in capsys.readouterr().out


def test_a_whole_log_is_said_to_be(control: Control, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit", "verify", "-p", "q"]) == 0
    last = control.audit()[-1].hash
    said = capsys.readouterr().out
    assert "3 entries, 1 of them of q, each follows from the one before; the last" in said
    assert last in said
    assert main(["audit", "verify", "--kept", last]) == 0


def test_a_broken_one_is_named_by_its_entry(
    control: Control, tamper: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    tamper(control.url, "UPDATE audit SET why = 'because' WHERE number = 2")
    for pipeline in ("p", "q"):
        assert main(["audit", "verify", "-p", pipeline]) == 65
        said = capsys.readouterr().err
        assert "broken at entry 2: its hash is not that of its content; what comes after" in said


def test_a_log_that_was_written_anew_lacks_what_was_kept(
    control: Control, tamper: Callable[[str, str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    kept = control.audit()[1].hash
    tamper(control.url, "DELETE FROM audit")
    tamper(control.url, "DELETE FROM heads")
    control.promote("p", "2", expected=None, run="r", verdict_uri="v", who="me", why="so")
    assert main(["audit", "verify"]) == 0
    assert main(["audit", "verify", "--kept", kept]) == 65
    assert f"no entry has the hash {kept}: all from some entry on" in capsys.readouterr().err
