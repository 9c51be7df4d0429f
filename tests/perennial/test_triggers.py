from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from ml_tasks.config import Environment
from ml_tasks.io.control import Control, Trigger
from perennial.__main__ import main
from perennial.rollback import person
from perennial.triggers import age

EVIDENCE = {"why": "recall [fell] to 0.4", "features": {"distance": 0.31, "wind": 0.28}}


@pytest.fixture
def control(home: object) -> Control:
    made = Control(Environment().control)
    made.migrate()
    return made


@pytest.fixture
def drift(control: Control) -> Trigger:
    """One of p that was claimed and is done; beside it one of q that nobody has claimed."""
    made, _ = control.ask("p", "drift", "2013-01-01/2013-02-05", who="monitor", evidence=EVIDENCE)
    control.ask("q", "schedule", "2013-01-01/2013-02-05", who="cron", evidence={})
    control.claim(made.id, "r1")
    control.finish(made.id, "promoted version 2")
    return control.trigger(made.id)


def lines(capsys: pytest.CaptureFixture[str]) -> list[list[str]]:
    return [line.split("\t") for line in capsys.readouterr().out.splitlines()]


def test_they_are_listed_with_what_came_of_them(
    drift: Trigger, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["triggers", "-p", "p"]) == 0
    ((identity, *rest, old),) = lines(capsys)
    assert identity == drift.id
    assert rest == [
        "p", "drift", "2013-01-01/2013-02-05", "monitor",
        'why recall [fell] to 0.4, features {"distance": 0.31, "wind…', "done", "r1",
        "promoted version 2",
    ]  # fmt: skip
    assert old.endswith(" s")
    assert main(["triggers", "--state", "asked"]) == 0
    assert [line[1:3] for line in lines(capsys)] == [["q", "schedule"]]
    assert main(["triggers", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert [one["evidence"] for one in told] == [EVIDENCE, {}]
    assert main(["triggers", "-p", "flight_delays"]) == 0
    assert "no such trigger" in capsys.readouterr().out


def test_one_is_shown_with_all_its_evidence(
    drift: Trigger, control: Control, capsys: pytest.CaptureFixture[str]
) -> None:
    again = control.replay(drift.id, who="me", why="x")
    assert main(["triggers", "show", drift.id[:6]]) == 0
    told = dict(lines(capsys))
    assert told["evidence.features"] == '{"distance": 0.31, "wind": 0.28}'
    assert (told["outcome"], told["replayed by"]) == ("promoted version 2", again.id)


def test_a_replay_is_a_trigger_of_its_own(
    drift: Trigger, control: Control, capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(2):  # nobody has claimed it in between: the same wish
        assert main(["triggers", "replay", drift.id, "--why", "the labels were mended"]) == 0
    said = capsys.readouterr().out
    before, made = control.triggers("p")
    assert before == drift
    assert f"trigger {made.id}: drift asks for 2013-01-01/2013-02-05 again" in said
    assert "p__intake finds the trigger and starts it within ten minutes" in said
    assert (made.cause, made.window, made.state) == (drift.cause, drift.window, "asked")
    assert made.who == person()
    assert made.evidence == {**EVIDENCE, "why": "the labels were mended", "replays": drift.id}
    control.claim(made.id, "r2")
    assert main(["triggers", "replay", drift.id, "--why", "and again"]) == 0
    assert len(control.triggers("p")) == 3


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["show", "nope"], "trigger 'nope': the ledger has none of that id"),
        (["replay", "", "--why", "x"], "trigger '': the ledger has none of that id"),
        (["replay", "ID", "--why", " "], "--why: came nothing, wanted the reason"),
        (["replay", "ID"], "Missing option '--why'"),
    ],
)
def test_what_cannot_be_is_said(
    drift: Trigger, words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    told = [drift.id if word == "ID" else word for word in words]
    assert main(["triggers", *told]) == 78
    assert message in capsys.readouterr().err


def test_a_beginning_that_two_ids_share_is_not_enough(
    control: Control, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(17):  # of 16 first digits one comes twice
        control.ask("p", f"cause{number}", "2013-01-01/2013-02-05", who="me", evidence={})
    first = [trigger.id[0] for trigger in control.triggers()]
    twice = next(digit for digit in first if first.count(digit) > 1)
    assert main(["triggers", "show", twice]) == 78
    assert f"came the beginning of {first.count(twice)} ids" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("ago", "said"),
    [
        (timedelta(seconds=-5), "0 s"),
        (timedelta(seconds=59), "59 s"),
        (timedelta(minutes=59), "59 min"),
        (timedelta(hours=23), "23 h"),
        (timedelta(days=40), "40 d"),
    ],
)
def test_age_is_in_its_largest_unit(ago: timedelta, said: str) -> None:
    assert age((datetime.now(UTC) - ago).isoformat()) == said
