"""`perennial ledger`: what retrainings were to win, what they won, what they cost."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

import pytest

from ml_tasks.config import Environment
from ml_tasks.io.control import Control, Cost
from ml_tasks.io.ledger import Paid
from ml_tasks.io.watched import Grade
from perennial.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

P = "orders"
GRADE = Grade(
    pipeline=P, version="2", before="1", start="2013-06-04", end="2013-06-11", metric="roc_auc",
    value=0.02, low=-0.01, high=0.05, error=0.015, rows=900, predicted=1000, windows=1, wanted=4,
    known="2013-06-11", run="w",
)  # fmt: skip
COST = Cost(
    pipeline=P, run="r", task="train", attempt=1, at="2013-06-01T00:00:00Z", state="done", pods=1,
    cpus=2, memory_gb=4, gpus=1, node_type="", spot=False, wall_seconds=90.0, pod_seconds=90.0,
    cpu_seconds=45.0, gpu_seconds=80.0, peak_memory_mb=700.0, amount=0.25, currency="EUR",
)  # fmt: skip


@pytest.fixture
def control(home: Path) -> Control:
    made = Control(Environment(home=home).control)
    made.migrate()
    return made


def trained(
    control: Control, run: str, version: str = "", *, gain: float | None = None, **last: str
) -> None:
    """Leave a training's trigger, what it cost, and its promotion where it has a version."""
    trigger, _ = control.ask(P, "monitor", run, who="w", evidence={"predicted_gain": gain})
    control.claim(trigger.id, run)
    tries = [COST, replace(COST, attempt=2)]
    tries += [replace(COST, task=task, state=state) for task, state in last.items()]  # type: ignore[arg-type]
    control.charge(replace(one, run=run) for one in tries)
    if version:
        head = control.champion(P)
        control.promote(
            P, version, expected=head.version if head else None, run=run, verdict_uri="v",
            who="judge", why="better",
        )  # fmt: skip
    control.finish(trigger.id, "done")


def graded(control: Control, *grades: Grade) -> None:
    with control.lease("w", holder="w", attempt=1) as lease:
        control.watch(P, grades, lease)


def test_each_training_has_its_line(control: Control, capsys: pytest.CaptureFixture[str]) -> None:
    trained(control, "a", "1")
    trained(control, "b", "2", gain=0.03)
    trained(control, "c", judge="done", reference="skipped")
    trained(control, "d", assemble="failed")
    control.ask(P, "monitor", "e", who="w", evidence={})
    graded(control, GRADE)
    found = control.ledger(P)
    assert [one.paid for one in found] == [
        Paid.FIRST, Paid.UNKNOWN, Paid.REFUSED, Paid.FAILED, Paid.UNKNOWN,
    ]  # fmt: skip
    assert [one.amount for one in found] == [0.5, 0.5, 1.0, 0.75, 0.0]
    assert (found[1].cpu_seconds, found[1].gpu_seconds, found[1].currency) == (90, 160, "EUR")
    assert (found[1].predicted_gain, found[1].realised_gain, found[1].rows) == (0.03, 0.02, 900)
    assert main(["ledger", "-p", P]) == 0
    lines = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
    assert lines[1][4:] == [
        "2 after 1", "+0.0300", "+0.0200 roc_auc", "-0.0100 to +0.0500", "1 of 4", "90.0", "160.0",
        "0.5000", "EUR", "not known yet",
    ]  # fmt: skip
    assert lines[2][-1] == "refused by gate"
    assert main(["ledger", "-p", P, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)[2]["paid"] == "refused by gate"


def test_who_was_refused_after_its_reference_was_fitted_is_refused(control: Control) -> None:
    """As long as that came before the verdict, `register` was skipped."""
    trained(control, "c", judge="done", reference="done", register="skipped")
    assert [one.paid for one in control.ledger(P)] == [Paid.REFUSED]


@pytest.mark.parametrize(
    ("change", "paid"),
    [
        pytest.param({"low": 0.001}, Paid.YES, id="more than chance gives"),
        pytest.param({}, Paid.UNKNOWN, id="too early"),
        pytest.param({"windows": 4}, Paid.NO, id="through, and no more than chance"),
        pytest.param({"value": -0.02, "high": -0.01, "low": -0.03}, Paid.NO, id="worse"),
        pytest.param({"low": None, "high": None, "error": None}, Paid.UNKNOWN, id="one day"),
    ],
)
def test_whether_it_paid(control: Control, change: dict[str, float], paid: Paid) -> None:
    trained(control, "a", "1")
    trained(control, "b", "2")
    graded(control, replace(GRADE, **change))  # type: ignore[arg-type]
    assert control.ledger(P)[1].paid is paid


def test_the_grade_of_most_windows_counts_and_a_successor_closes_it(control: Control) -> None:
    trained(control, "a", "1")
    trained(control, "b", "2")
    later = replace(GRADE, start="2013-06-11", end="2013-06-18", value=0.5)
    both = replace(later, start="2013-06-04", windows=2, value=0.01)
    graded(control, GRADE, later, both)
    assert control.ledger(P)[1].realised_gain == 0.01
    assert control.ledger(P)[1].paid is Paid.UNKNOWN
    trained(control, "c", "3")
    assert control.ledger(P)[1].paid is Paid.NO
    seen = control.champion(P)
    assert seen is not None
    control.rollback(replace(seen, version="2", run="b"), seen=seen, who="w", why="worse")
    withdrawn = control.ledger(P)[2]
    assert (withdrawn.version, withdrawn.withdrawn is not None) == ("3", True)


def test_labels_that_come_later_renew_a_grade_and_earlier_ones_do_not(control: Control) -> None:
    graded(control, replace(GRADE, known="2013-06-18", value=0.03))
    graded(control, GRADE)
    assert [grade.value for grade in control.grades(P)] == [0.03]


def test_the_picture_has_both_looks(
    control: Control, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "ledger.svg"
    assert main(["ledger", "--picture", str(file)]) == 0
    assert "nothing was graded yet" in file.read_text()
    trained(control, "a", "1")
    trained(control, "b", "2", gain=0.03)
    graded(control, GRADE)
    assert main(["ledger", "-p", P, "--picture", str(file)]) == 0
    text = file.read_text()
    root = ET.fromstring(text)  # noqa: S314 - it was made here
    assert root.tag.endswith("svg")
    assert "prefers-color-scheme:dark" in text
    assert "predicted gain of roc_auc" in text
    assert main(["ledger", "-p", P, "--picture", str(file)]) == 0
    assert file.read_text() == text
    assert main(["ledger", "--picture", str(tmp_path / "mistyped" / "ledger.svg")]) == 78
    assert "wanted a file in a folder that is there" in capsys.readouterr().err
    assert main(["ledger", "-p", P, "--picture", "ledger.png"]) == 78
    assert "came 'ledger.png', wanted a name that ends with .svg" in capsys.readouterr().err
