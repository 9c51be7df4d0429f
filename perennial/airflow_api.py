"""What we ask of Airflow's API."""

from __future__ import annotations

import time
from itertools import count
from typing import TYPE_CHECKING, Any

import httpx
from ml_launch.command import slug

from ml_tasks.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from perennial.services import Services

TIMEOUT = 30
PAGE = 100
"""Airflow gives no more at once."""
TRIES = 30
SHOWN = 300
NO_LOG_SERVER = "Could not read served logs"
"""So Airflow begins a line in the log of a task that runs: it asks a server that is not there."""
WHY = ("reason", "error")
"""Fields of a log line beside its event that tell why: a skipped task's line has nothing else."""


class Airflow:
    """A client that logged in."""

    def __init__(self, services: Services) -> None:
        """Log in.

        Raises:
            BackendError: Airflow does not run, or does not answer.
        """
        services.require("api-server")
        self._client = httpx.Client(base_url=services.airflow_url, timeout=TIMEOUT)
        login = {"username": services.login.user, "password": services.login.password}
        answer = self._ask("POST", "/auth/token", json=login)
        self._client.headers["Authorization"] = f"Bearer {answer['access_token']}"

    def known(self, dag: str) -> bool:
        """Tell whether Airflow has read a DAG."""
        return self._answer("GET", f"/api/v2/dags/{dag}").is_success

    def paused(self, dag: str) -> bool:
        """Tell whether a DAG that it has read is switched off."""
        return bool(self._ask("GET", f"/api/v2/dags/{dag}")["is_paused"])

    def task_ids(self, dag: str) -> list[str]:
        """Give the names of a DAG's tasks."""
        found = self._ask("GET", f"/api/v2/dags/{dag}/tasks")["tasks"]
        return [str(task["task_id"]) for task in found]

    def runs(self, dag: str, run: str = "", *, key: str = "") -> list[dict[str, Any]]:
        """Give a DAG's newest 100 runs, newest first; those of a name, or of a key.

        Args:
            dag: The DAG.
            run: A run's id in Airflow, or its name in paths.
            key: A partition's key.
        """
        wanted: dict[str, Any] = {"limit": PAGE, "order_by": "-id"}
        # In a pattern "_" stands for any character, as "-" does in a path.
        wanted |= {"run_id_pattern": run.replace("-", "_")} if run else {}
        wanted |= {"partition_key_pattern": key} if key else {}
        found = self._ask("GET", f"/api/v2/dags/{dag}/dagRuns", params=wanted)["dag_runs"]
        found = [r for r in found if run in ("", r["dag_run_id"], slug(r["dag_run_id"]))]
        return [r for r in found if key in ("", r["partition_key"])]

    def all_runs(self, dag: str) -> Iterator[dict[str, Any]]:
        """Give all of a DAG's runs, newest first, asking for as many as are taken."""
        for offset in count(step=PAGE):
            told = {"limit": PAGE, "offset": offset, "order_by": "-id"}
            found = self._ask("GET", f"/api/v2/dags/{dag}/dagRuns", params=told)["dag_runs"]
            yield from found
            if len(found) < PAGE:
                return

    def tasks(self, dag: str, run: str) -> list[dict[str, Any]]:
        """Give the task instances of a run."""
        found: list[dict[str, Any]] = self._ask(
            "GET", f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances", params={"limit": PAGE}
        )["task_instances"]
        return found

    def backfill(self, dag: str, first: str, last: str) -> None:
        """Ask for the windows from one to another; one that is asked for already is no fault."""
        body = {
            "dag_id": dag,
            "from_date": f"{first}T00:00:00Z",
            "to_date": f"{last}T00:00:00Z",
            "max_active_runs": 1,
            "reprocess_behavior": "none",
            "run_backwards": False,
            "dag_run_conf": {},
        }
        answer = self._answer("POST", "/api/v2/backfills", json=body)
        if answer.status_code != httpx.codes.CONFLICT:
            _checked(answer)

    def start(self, dag: str, conf: dict[str, Any]) -> str:
        """Start a run; give its id."""
        body = {"logical_date": None, "conf": conf}
        return str(self._ask("POST", f"/api/v2/dags/{dag}/dagRuns", json=body)["dag_run_id"])

    def clear(self, dag: str, run: str) -> None:
        """Let all tasks of a run run again."""
        body = {"dry_run": False, "only_failed": False}
        self._ask("POST", f"/api/v2/dags/{dag}/dagRuns/{run}/clear", json=body)

    def has_event(self, asset: str, key: str) -> bool | None:
        """Tell whether an asset has an event with this key among its newest 100.

        Returns:
            `None` where Airflow knows no such asset.
        """
        identity = self._asset(asset)
        if identity is None:
            return None
        wanted = {"asset_id": identity, "order_by": "-timestamp", "limit": 100}
        found = self._ask("GET", "/api/v2/assets/events", params=wanted)["asset_events"]
        return any(event["partition_key"] == key for event in found)

    def emit(self, asset: str, key: str, extra: dict[str, Any]) -> None:
        """Let an asset have an event with a key.

        Raises:
            BackendError: Airflow knows no such asset.
        """
        identity = self._asset(asset)
        if identity is None:
            raise BackendError(f"Airflow knows no asset {asset}: see perennial logs dag-processor")
        body = {"asset_id": identity, "partition_key": key, "extra": extra}
        self._ask("POST", "/api/v2/assets/events", json=body)

    def _asset(self, name: str) -> int | None:
        wanted = {"name_pattern": name, "limit": 100}
        found = self._ask("GET", "/api/v2/assets", params=wanted)["assets"]
        return next((int(asset["id"]) for asset in found if asset["name"] == name), None)

    def log(self, dag: str, run: str, task: str, attempt: int) -> list[str]:
        """Give the lines of a task's log."""
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/{task}/logs/{attempt}"
        content = self._ask("GET", path)["content"]
        told = [line for line in content if not str(line["event"]).startswith(NO_LOG_SERVER)]
        return [said for line in told for said in as_text(line)]

    def _ask(self, method: str, path: str, **rest: Any) -> dict[str, Any]:
        found: dict[str, Any] = _checked(self._answer(method, path, **rest)).json()
        return found

    def _answer(self, method: str, path: str, **rest: Any) -> httpx.Response:
        """Ask, again and again while the server is away."""
        for _ in range(TRIES):
            try:
                return self._client.request(method, path, **rest)
            except httpx.TransportError as fault:
                last = fault
                time.sleep(1)
        raise BackendError(
            f"Airflow at {self._client.base_url} does not answer: {last}; see perennial status"
        ) from last


def _checked(answer: httpx.Response) -> httpx.Response:
    if answer.is_error:
        raise BackendError(
            f"Airflow refused {answer.request.method} {answer.request.url.path}: "
            f"{answer.status_code} {answer.text[:SHOWN]}"
        )
    return answer


def as_text(line: dict[str, Any]) -> list[str]:
    """Give a structured log line as text: the event, why, and the faults that it carries."""
    faults = line.get("error_detail") or []
    why = [f"{name}: {line[name]}" for name in WHY if line.get(name)]
    return [
        " ".join([str(line["event"]), *why]),
        *(f"{f['exc_type']}: {f['exc_value']}" for f in faults),
    ]
