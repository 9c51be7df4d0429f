"""MLflow's server as this project starts it, which must be what its command would have started."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest


def test_it_guards_itself_and_takes_in_artifacts(
    mlflow_server: Callable[[Path], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WEB_CONCURRENCY", "2")  # which uvicorn listens to
    url = mlflow_server(tmp_path)
    api = f"{url}/api/2.0"
    found = httpx.get(f"{api}/mlflow/experiments/get", params={"experiment_id": "0"}).json()
    assert found["experiment"]["artifact_location"] == "mlflow-artifacts:/0"
    put = httpx.put(f"{api}/mlflow-artifacts/artifacts/0/a.txt", content=b"told")
    assert put.is_success
    assert (tmp_path / "artifacts" / "0" / "a.txt").read_bytes() == b"told"
    foreign = httpx.get(f"{api}/mlflow/experiments/get", headers={"Host": "elsewhere.example"})
    assert foreign.status_code == 403
