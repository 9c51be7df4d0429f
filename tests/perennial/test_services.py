"""What runs on after a command, and when it is started anew."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from perennial.given import environment
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
