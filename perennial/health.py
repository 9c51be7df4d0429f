"""Asks services that talk HTTP whether they do their work."""

from __future__ import annotations

import json

import httpx


def mlflow(url: str) -> bool:
    """Tell whether MLflow's server answers."""
    return _answers(f"{url}/health") is not None


def airflow(url: str, part: str) -> bool:
    """Tell whether a part of Airflow does its work; the API server does if it answers."""
    health = _answers(f"{url}/api/v2/monitor/health")
    if part == "api-server" or health is None:
        return health is not None
    status: str | None = json.loads(health)[part.replace("-", "_")]["status"]
    return status == "healthy"


def _answers(url: str) -> str | None:
    try:
        answer = httpx.get(url, timeout=3)
    except httpx.HTTPError:
        return None
    return answer.text if answer.is_success else None
