"""How far back the demo looks for a window's run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from ml_tasks import config
from perennial.airflow_api import PAGE, Airflow
from perennial.loop import Loop

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_tasks.io.control import Control
    from perennial.services import Services


class History:
    """Runs of a DAG, newest first; tells how many were looked at."""

    def __init__(self, keys: list[str]) -> None:
        self.keys, self.seen = keys, 0

    def all_runs(self, _dag: str) -> Iterator[dict[str, Any]]:
        self.seen = 0
        for key in self.keys:
            self.seen += 1
            yield {"partition_key": key, "state": "success"}


def loop(history: History) -> Loop:
    return Loop(
        cast("Services", None), config.load("flight_delays"), cast("Control", None),
        cast("Airflow", history),
    )  # fmt: skip


def test_an_old_run_is_found_however_many_are_newer() -> None:
    history = History([*(f"other {n}" for n in range(5 * PAGE)), "wanted"])
    made = loop(history)
    for _ in range(2):
        assert set(made._runs(["wanted"])) == {"wanted"}


def test_all_that_airflow_remembers_is_looked_at_once() -> None:
    history = History([f"other {n}" for n in range(50 * PAGE)])
    made = loop(history)
    assert made._runs(["new"]) == {}
    assert history.seen == 50 * PAGE
    assert made._runs(["new"]) == {}
    assert history.seen < 2 * PAGE
    history.keys.insert(3, "new")
    assert set(made._runs(["new"])) == {"new"}
