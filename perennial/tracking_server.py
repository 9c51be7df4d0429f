"""MLflow's tracking server as one process: `python -m perennial.tracking_server HOST PORT`.

`mlflow server` is two: a command that imports all of MLflow and then waits for the uvicorn that it
starts, which imports it once more: three seconds of each start, and memory as long as it runs.
"""

from __future__ import annotations

import os
import sys

ARTIFACTS = "mlflow-artifacts:/"
"""Where runs write what they log: to the server."""


def main(argv: list[str] | None = None) -> None:
    """Serve what MLFLOW_BACKEND_STORE_URI and MLFLOW_ARTIFACTS_DESTINATION name."""
    host, port = sys.argv[1:] if argv is None else argv
    import uvicorn  # where it is loaded MLflow holds itself to be a server, and guards itself
    from mlflow import server

    own = os.environ  # noqa: TID251 - MLflow's, by which its command tells its server
    database = own["MLFLOW_BACKEND_STORE_URI"]
    own[server.BACKEND_STORE_URI_ENV_VAR] = own[server.REGISTRY_STORE_URI_ENV_VAR] = database
    own[server.ARTIFACTS_DESTINATION_ENV_VAR] = own["MLFLOW_ARTIFACTS_DESTINATION"]
    own[server.ARTIFACT_ROOT_ENV_VAR] = ARTIFACTS
    own[server.SERVE_ARTIFACTS_ENV_VAR] = "true"
    from mlflow.server import handlers
    from mlflow.server.fastapi_app import app

    handlers.initialize_backend_stores(database, database, ARTIFACTS)
    told = str(server._UVICORN_LOG_CONFIG)
    # Of its own accord it has as many workers as WEB_CONCURRENCY says.
    uvicorn.run(app, host=host, port=int(port), workers=1, log_config=told)


if __name__ == "__main__":
    main()
