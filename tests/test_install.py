"""What is installed is what was asked for: a plain resolve picks an alibi-detect of 2020."""

from __future__ import annotations

import tomllib
from importlib.metadata import version

import pytest
from packaging.requirements import Requirement

from ml_tasks.config import ROOT

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
ASKED = [
    *PROJECT["project"]["dependencies"],
    *(line for extra in PROJECT["project"]["optional-dependencies"].values() for line in extra),
    *PROJECT["tool"]["uv"]["override-dependencies"],
]


@pytest.mark.parametrize("line", sorted(set(ASKED)))
def test_installed_versions_meet_our_floors(line: str) -> None:
    asked = Requirement(line)
    if asked.marker is not None and not asked.marker.evaluate():
        pytest.skip(f"not for this platform: {asked.marker}")
    assert version(asked.name) in asked.specifier


def test_the_lock_names_hashes_and_no_address() -> None:
    lock = (ROOT / "requirements.lock").read_text()
    pins = [line for line in lock.splitlines() if "==" in line]
    assert len(pins) > 200
    assert lock.count("--hash=sha256:") >= len(pins)
    assert "://" not in lock
