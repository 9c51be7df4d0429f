from __future__ import annotations

import pytest

from ml_tasks import record
from ml_tasks.config import Environment
from ml_tasks.errors import BackendError
from ml_tasks.io.registry import Registry


def test_numbers_have_names_that_mlflow_takes() -> None:
    values = {"flights": {"reasons": {"column 'x': \"a\"": 3}, "unchanged": True, "rate": 0.5}}
    assert record.numbers(values) == {
        "flights.reasons.column _x_: _a_": 3.0,
        "flights.rate": 0.5,
    }


def test_a_server_that_is_away_is_tried_again_later(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    registry = Registry(Environment(mlflow_url="http://127.0.0.1:9"), "p")
    with pytest.raises(BackendError, match=r"MLflow at http://127.0.0.1:9"):
        registry.versions()
    with pytest.raises(BackendError, match=r"MLflow at http://127.0.0.1:9"):
        registry.run("r")
