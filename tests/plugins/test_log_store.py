from __future__ import annotations

import logging
import socket
from typing import TYPE_CHECKING

import pytest
from ml_launch.log_store import LogStore

if TYPE_CHECKING:
    from pathlib import Path

ATTEMPT = "dag_id=p__training/run_id=manual__2013-01-01T00:00:00+00:00/task_id=train/attempt=1.log"


@pytest.fixture
def logs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Airflow's folder of logs, and an object store that is empty."""
    folder = tmp_path / "logs"
    (folder / ATTEMPT).parent.mkdir(parents=True)
    monkeypatch.setenv("AIRFLOW__LOGGING__BASE_LOG_FOLDER", str(folder))
    monkeypatch.setenv("PERENNIAL_OBJECTS", (tmp_path / "objects").as_uri())
    return folder


def says(logs: Path, path: str, text: str, host: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: host)
    (logs / path).write_text(text)
    LogStore().upload(path)


def test_an_attempt_has_the_words_of_all_who_wrote_of_it(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    says(logs, ATTEMPT, "begins\n", "airflow-scheduler-0", monkeypatch)
    says(logs, f"{ATTEMPT}.trigger.7.log", "epoch 1\nepoch 2\n", "airflow-triggerer-0", monkeypatch)
    says(logs, ATTEMPT, "ends\n", "airflow-scheduler-1", monkeypatch)
    says(logs, ATTEMPT.replace("=1.", "=11."), "another\n", "airflow-scheduler-0", monkeypatch)
    sources, streams = LogStore().stream(ATTEMPT, None)
    assert [source.rpartition("/")[2] for source in sources] == [
        "airflow-scheduler-0.log",
        "airflow-scheduler-1.log",
        "airflow-triggerer-0.trigger.7.log",
    ]
    assert [list(stream) for stream in streams] == [["begins"], ["ends"], ["epoch 1", "epoch 2"]]


def test_what_is_said_later_takes_the_place_of_what_was(
    logs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for text in ("begins\n", "begins\nends\n"):
        says(logs, ATTEMPT, text, "airflow-scheduler-0", monkeypatch)
    assert LogStore().read(ATTEMPT, None)[1] == ["begins\nends\n"]


def test_silence_is_no_fault(logs: Path) -> None:
    LogStore().upload(ATTEMPT)
    assert LogStore().stream(ATTEMPT, None) == ([], [])


def test_a_store_that_is_away_fails_no_task(
    logs: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    (tmp_path / "objects").write_text("a file where a folder is wanted")
    with caplog.at_level(logging.WARNING):
        says(logs, ATTEMPT, "begins\n", "airflow-scheduler-0", monkeypatch)
    assert "is not kept" in caplog.text


def test_airflow_finds_it(logs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from airflow.configuration import conf
    from airflow.logging_config import _load_logging_config, get_remote_task_log

    monkeypatch.setenv(
        "AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS", "ml_launch.log_store.LOGGING_CONFIG"
    )
    assert conf.get("logging", "logging_config_class") == "ml_launch.log_store.LOGGING_CONFIG"
    try:
        _load_logging_config()
        assert isinstance(get_remote_task_log(), LogStore)
    finally:
        monkeypatch.undo()
        _load_logging_config()
