"""Wishes to train, held against a real ledger."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException
from ml_launch.intake import write_trigger

from ml_tasks.config import Environment
from ml_tasks.io.control import Control

if TYPE_CHECKING:
    from pathlib import Path

FORM = {
    "cause": "form",
    "window_start": "2013-01-01",
    "window_end": "2013-02-05",
    "why": "",
    "again": False,
}


@pytest.fixture
def control(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Control:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path))
    control = Control(Environment().control)
    control.migrate()
    return control


def ask(run: str, **more: Any) -> str:
    return write_trigger("p", {**FORM, **more}, run)


def test_a_retry_of_the_same_run_finds_its_trigger(control: Control) -> None:
    assert ask("a") == ask("a")
    assert len(control.triggers("p")) == 1


def test_what_nobody_has_claimed_is_started_again(control: Control) -> None:
    assert ask("a") == ask("b")
    assert control.triggers("p")[0].who == "a"


def test_what_somebody_works_on_is_skipped_unless_again(control: Control) -> None:
    control.claim(ask("a"), "t")
    with pytest.raises(AirflowSkipException, match="asked for 2013-01-01/2013-02-05 before; run t"):
        ask("b")
    assert ask("b", again=True) != control.triggers("p")[0].id


def test_the_schedule_is_a_cause_of_its_own(control: Control) -> None:
    write_trigger("p", FORM, "a", scheduled=True)
    assert control.triggers("p")[0].cause == "schedule"


def test_what_makes_no_sense_fails_at_once(control: Control) -> None:
    with pytest.raises(AirflowFailException, match="the start must come before the end"):
        ask("a", window_end="2012-01-01")
    with pytest.raises(AirflowFailException, match="no window was published yet"):
        ask("a", window_end=None)
    assert control.triggers("p") == []
