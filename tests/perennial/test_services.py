"""What runs on after a command, and when it is started anew."""

from __future__ import annotations

import errno
import json
from dataclasses import replace
from typing import TYPE_CHECKING

import psutil
import pytest
from ml_launch import tree

from perennial import settings
from perennial.given import environment
from perennial.processes import Processes
from perennial.services import Services

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@pytest.fixture
def services(home: Path) -> Iterator[Services]:
    """Those of a home without Airflow."""
    assert not home.exists()
    made = Services(environment(), airflow=False)
    yield made
    made.down()


def up(services: Services) -> list[str]:
    return services.up(lambda _name, _seconds: None)


def test_after_an_upgrade_what_runs_is_started_anew(services: Services, home: Path) -> None:
    assert up(services) == ["mlflow", "warm"]
    before = services.processes.known()
    assert up(services) == []
    assert services.processes.known() == before
    record = json.loads((home / "services.json").read_text())
    record["warm"]["stands_on"] = "what was installed before"
    (home / "services.json").write_text(json.dumps(record))
    assert up(services) == ["mlflow", "warm"]
    after = services.processes.known()
    assert not any(one.alive for one in before.values())
    assert all(one.alive for one in after.values())
    assert {name: one.port for name, one in after.items()} == {
        name: one.port for name, one in before.items()
    }


@pytest.mark.skipif(not psutil.LINUX, reason="elsewhere the clock moves nothing")
def test_a_clock_that_is_set_ends_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that slept sets it, and with it the times of day at which processes began."""
    started = Processes(tmp_path).start("asleep", ["sleep", "60"], {})
    older = replace(started, created=psutil.Process(started.pid).create_time())
    try:
        assert started.alive
        assert older.alive, "an earlier version wrote the time of day"
        later = psutil.boot_time() + 3600
        monkeypatch.setattr(psutil, "boot_time", lambda: later)
        monkeypatch.setattr("psutil._pslinux.boot_time", lambda: later)
        assert Processes(tmp_path).known()["asleep"].alive
    finally:
        tree.end(started.pid, grace=0)
    assert not started.alive


def test_after_the_machine_started_anew_a_process_is_another_one(tmp_path: Path) -> None:
    """It may have the same number, and have begun as long after the start."""
    started = Processes(tmp_path).start("asleep", ["sleep", "60"], {})
    try:
        assert not replace(started, boot="before").alive
        assert replace(started, boot="").alive, "an earlier version wrote no start"
    finally:
        tree.end(started.pid, grace=0)


@pytest.mark.parametrize("links", [True, False])
def test_a_secret_is_drawn_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, links: bool
) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    if not links:
        monkeypatch.setattr("os.link", refused)
    drawn = settings.secret(tmp_path / "secret")
    assert (len(drawn) > 30, settings.secret(tmp_path / "secret")) == (True, drawn)
    assert [one.name for one in tmp_path.iterdir()] == ["secret"]
    assert (tmp_path / "secret").stat().st_mode & 0o077 == 0
