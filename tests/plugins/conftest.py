"""A task that does what a test says, started as the real ones are."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ml_tasks.config import Environment

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(params=["fresh", "warm"])
def launching(request: pytest.FixtureRequest, tmp_path: Path, warm_socket: Path) -> Environment:
    """Both ways in which a task becomes a process."""
    socket = warm_socket if request.param == "warm" else None
    return Environment(home=tmp_path / "home", warm_socket=socket)


@pytest.fixture
def token(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    """Makes tokens of Airflow's auth manager; its database has all tables, and nothing in them."""
    monkeypatch.setenv("AIRFLOW__API_AUTH__JWT_SECRET", "a secret of this test" * 4)
    from airflow import settings
    from airflow.api_fastapi.app import init_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser
    from airflow.models import import_all_models
    from airflow.models.base import Base

    settings.configure_orm()
    import_all_models()
    Base.metadata.create_all(settings.engine)
    manager = init_auth_manager()

    def make(role: str | None = "viewer", *teams: str) -> str:
        user = SimpleAuthManagerUser(username="somebody", role=role, teams=list(teams))
        return manager.generate_jwt(user)

    return make
