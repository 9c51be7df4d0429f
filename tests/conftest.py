"""What all tests share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ml_tasks.config import Environment

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    """An embedded profile of its own."""
    return Environment(home=tmp_path / "home")
