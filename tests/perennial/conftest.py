"""A home in which commands are called without any service."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """State of its own."""
    folder = tmp_path / "home"
    monkeypatch.setenv("PERENNIAL_HOME", str(folder))
    return folder


@pytest.fixture
def folder(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where products of that home are to lie; nobody has made it yet."""
    made = home.with_name("pipelines")
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(made))
    return made
