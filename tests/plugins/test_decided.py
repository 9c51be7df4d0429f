"""What the monitoring DAG tells of a decision."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowSkipException
from ml_launch.decided import decided_rollback, decided_trigger

from ml_tasks.config import Environment
from ml_tasks.io import objects
from ml_tasks.io.control import Control
from ml_tasks.result import Result

if TYPE_CHECKING:
    from pathlib import Path

MADE = {"audit": 3, "version": "1", "before": "2", "window": "2013-06-11/2013-06-18"}


def decided(folder: Path, **values: Any) -> str:
    uri = f"{folder.as_uri()}/result.json"
    objects.write_result(uri, Result(task="decide", pipeline="p", run="r", values=values))
    return uri


def test_a_rollback_is_announced_by_its_entry_of_the_audit_log(tmp_path: Path) -> None:
    uri = decided(tmp_path, rollback=MADE)
    assert decided_rollback(uri, [{}, {"audit": 2}]) == ("rollback-3", MADE)


@pytest.mark.parametrize(
    ("values", "told", "why"),
    [
        ({"rollback": None}, [], "the champion stays"),
        ({}, [], "the champion stays"),
        ({"rollback": MADE}, [{"audit": 3}], "rollback 3 was told already"),
    ],
)
def test_nothing_is_told_without_one_and_none_twice(
    tmp_path: Path, values: dict[str, Any], told: list[dict[str, Any]], why: str
) -> None:
    with pytest.raises(AirflowSkipException, match=why):
        decided_rollback(decided(tmp_path, **values), told)


def test_a_trigger_is_started_until_a_training_has_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    control = Control(Environment().control)
    control.migrate()
    asked, _new = control.ask("p", "monitor", "2013-01-01/2013-01-08", who="m", evidence={})
    uri = decided(tmp_path, trigger=asked.id, why="it moved")
    assert decided_trigger(uri) == asked.id
    control.claim(asked.id, "t")
    with pytest.raises(AirflowSkipException, match=rf"trigger {asked.id}: run t has it \(claimed"):
        decided_trigger(uri)
    with pytest.raises(AirflowSkipException, match="no training: too soon"):
        decided_trigger(decided(tmp_path, trigger=None, why="too soon"))
