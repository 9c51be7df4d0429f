"""Reaches MLflow's tracking server."""

from __future__ import annotations

import sys
import warnings
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, cast

from ml_tasks.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient


def require(url: str) -> None:
    """Hold that a server is named.

    Raises:
        BackendError: `url` is empty.
    """
    # Whoever listens on MLflow's usual port may be another home's.
    if not url:
        raise BackendError(
            "MLflow: came no address, wanted that of this home's own server, which perennial up "
            "starts, or of another in PERENNIAL_MLFLOW_URL"
        )


def client(url: str) -> MlflowClient:
    """Give MLflow's client; that the server does not answer is a `BackendError`.

    Raises:
        BackendError: No server is named.
    """
    require(url)
    # Feast registers a header provider with MLflow that costs seconds at the first request.
    sys.modules.setdefault("feast.infra.data_sources.mlflow.auth", None)  # type: ignore[arg-type]
    warnings.filterwarnings("ignore", "Failure attempting to register request header provider")
    import mlflow
    from mlflow.environment_variables import MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT

    # Two lines for each task that is recorded, of which our own line says as much for all.
    MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT.set(True)
    mlflow.set_tracking_uri(url)
    mlflow.set_registry_uri(url)
    return cast("MlflowClient", _Reached(mlflow.MlflowClient(url, url), url))


@contextmanager
def reaching(url: str) -> Iterator[None]:
    """Tell a server that does not answer from one that refuses.

    Raises:
        BackendError: It does not answer.
    """
    from mlflow.exceptions import MlflowException, RestException

    try:
        yield
    except RestException:
        raise
    except MlflowException as fault:
        if "API request to" not in str(fault):
            raise
        raise BackendError(f"MLflow at {url} does not answer: {fault}") from fault


class _Reached:
    def __init__(self, client: MlflowClient, url: str) -> None:
        self._client, self._url = client, url

    def __getattr__(self, name: str) -> Any:
        call = getattr(self._client, name)

        def asked(*args: Any, **rest: Any) -> Any:
            with reaching(self._url):
                return call(*args, **rest)

        return asked
