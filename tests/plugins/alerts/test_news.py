"""What a run has to tell of, from what it left in control and in its results."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from ml_alerts.news import KILLED, News, results
from ml_alerts.wiring import Failed, listens, when_failed
from ml_launch import capsule
from ml_launch.capsule import Capsule

from ml_tasks.config import ROOT, Environment
from ml_tasks.io import objects
from ml_tasks.io.watched import Alarm
from ml_tasks.result import Result
from tests.plugins.alerts.conftest import NAME

if TYPE_CHECKING:
    from collections.abc import Callable

    from ml_tasks.config import Pipeline
    from ml_tasks.io.control import Control

RUN = "manual__2013-01-05T10:00:00+00:00"
SLUG = "manual__2013-01-05T10-00-00-00-00"
DAG = f"{NAME}__training"
GATES = [
    {"gate": "floor", "passed": True, "evidence": "roc_auc 0.7"},
    {"gate": "beats_champion", "passed": False, "evidence": "better by -0.01, wanted > 0"},
]


@pytest.fixture
def news(product: Callable[..., Pipeline]) -> News:
    product()
    return News(NAME, DAG, RUN)


def result(task: str, **values: Any) -> Result:
    return Result.model_validate(
        {"task": task, "pipeline": NAME, "run": SLUG, "attempt": 1, "values": values}
    )


def left_capsule(task: str = "train", attempt: int = 3) -> str:
    uri = capsule.address(Environment(), NAME, SLUG, task, attempt)
    kept = Capsule(
        task=task,
        pipeline=NAME,
        run=SLUG,
        attempt=attempt,
        arguments=(),
        processes=1,
        environment={},
        exit_code=65,
        reason="rank 0 hangs",
        tail=tuple(f"line {n}" for n in range(9)),
        curve=(),
    )
    objects.write_text(uri, kept.model_dump_json())
    return uri


def section(address: str) -> str:
    """Give the heading of the runbook that an address leads to, as GitHub makes anchors."""
    page, _, anchor = address.partition("#")
    for line in (ROOT / page).read_text().splitlines():
        words = line.lstrip("# ").lower()
        made = "".join(c for c in words if c.isalnum() or c in " -_").replace(" ", "-")
        if line.startswith("##") and made == anchor:
            return line
    return ""


def test_a_failed_task_is_told_with_its_reason_and_the_way_in(news: News) -> None:
    uri = left_capsule()
    told = news.failed("train", 3, "exit code 65")
    assert (told.kind, told.cause) == ("failed", "rank 0 hangs")
    assert told.evidence["to enter it again"] == f"perennial repro {uri}"
    assert told.evidence["last lines"] == "line 4\nline 5\nline 6\nline 7\nline 8"
    assert told.links["Airflow"].endswith(
        f"/dags/{DAG}/runs/manual__2013-01-05T10%3A00%3A00%2B00%3A00/tasks/train"
    )
    assert f"run={SLUG}&task=train" in told.links["MLflow"]
    without = news.failed("claim", 1, "")
    assert (without.cause, "to enter it again" in without.evidence) == (KILLED, False)
    assert news.failed("claim", 1, "conf: came x").cause == "conf: came x"
    assert without.key == news.failed("claim", 1, "said by another").key
    assert without.key != news.failed("claim", 4, "").key, "it was cleared and failed again"


def test_a_run_tells_of_what_it_did(news: News, control: Control) -> None:
    day = {"version": "1", "of": "inputs", "level": 2.0, "run": SLUG}
    moved = [{"name": "ks dep_delay", "share": 1.0, "loss": 0.02}]
    with control.lease("watch", holder="m/monitor", attempt=1) as lease:
        control.watch(
            NAME,
            [
                Alarm(pipeline=NAME, day=f"2013-01-0{n}", paged=n < 3, loss=n / 100,
                      signals=moved, **day)
                for n in (1, 2, 3)
            ],
            lease,
        )  # fmt: skip
    control.ask(NAME, "monitor", "2013-01-01/2013-01-08", who=SLUG, evidence={"why": "it moved"})
    control.ask(NAME, "form", "2013-01-01/2013-01-08", who="somebody else", evidence={})
    for version, before in (("1", None), ("2", "1")):
        control.promote(
            NAME, version, expected=before, run="r", verdict_uri="u", who="r/promote", why="passed"
        )
    head = control.champion(NAME)
    assert head is not None
    first = control.audit(NAME)[0].detail
    back = replace(head, version="1", run=first["run"])
    control.rollback(back, seen=head, who=f"{SLUG}/decide", why="it is worse")
    judged = result("judge", passed=False, gates=GATES)
    done = result("promote", version="2", semantic_version="1.1.0", before="1")
    told = {one.kind: one for one in news.all(control, {"judge": judged, "promote": done})}
    assert list(told) == ["rejected", "promoted", "alarm", "trigger", "rolled_back"]
    assert told["rejected"].cause == "1 gates did not pass: beats_champion"
    assert told["rejected"].evidence == {"1 beats_champion": "better by -0.01, wanted > 0"}
    assert told["promoted"].evidence == {"version": "2", "champion before": "1"}
    assert told["alarm"].subject == "ks dep_delay moved"
    assert told["alarm"].evidence["estimated loss"] == "0.0200 of the metric"
    assert "2013-01-01, 2013-01-02" in told["alarm"].cause
    assert told["trigger"].cause == "it moved"
    assert (told["rolled_back"].cause, told["rolled_back"].subject) == (
        "it is worse", "rolled back to version 1",
    )  # fmt: skip
    for one in [*told.values(), news.failed("train", 1, "")]:
        assert section(one.runbook), one.runbook
        assert one.links["Airflow"]
    assert news.all(control, {}) == news.all(control, {})


def test_a_champion_that_could_not_be_held_is_told_of(news: News, control: Control) -> None:
    decided = result("decide", train=False, rollback=None, rollback_fault="model.onnx is gone")
    (told,) = news.all(control, {"decide": decided})
    assert (told.kind, told.cause) == ("rolled_back", "model.onnx is gone")
    assert told.subject == "the champion was not held against the one before"
    assert section(told.runbook)
    assert told.links["Airflow"].endswith("/tasks/decide")
    quiet = result("decide", train=False, rollback=None, rollback_fault=None)
    assert news.all(control, {"decide": quiet}) == []


def test_a_quiet_run_tells_of_nothing(news: News, control: Control) -> None:
    passed = result("judge", passed=True, gates=GATES[:1])
    assert news.all(control, {"judge": passed}) == []
    assert results({"judge": None}) == {}


def test_the_callback_of_a_failed_task_keeps_it_for_each_channel(
    product: Callable[..., Pipeline], control: Control
) -> None:
    """Nobody listens at the address: it waits for the intake."""
    channel = {"kind": "webhook", "url": "http://127.0.0.1:9/"}
    found = product(alerts=[channel | {"on": ["failed"]}], policies=[{"name": "outside"}])
    ti = SimpleNamespace(dag_id=DAG, run_id=RUN, task_id="train", try_number=3)
    callback = when_failed(found)["on_failure_callback"]
    assert isinstance(callback, Failed)
    for _ in range(2):
        callback({"ti": ti, "exception": ValueError("gone {{ 7 * 7 }}")})
    (kept,) = control.sent(NAME)
    assert (kept.kind, kept.state) == ("failed", "waiting")
    assert kept.content["cause"] == "gone {{ 7 * 7 }}"
    assert listens(found)
    assert when_failed(product(alerts=[channel | {"on": ["alarm"]}])) == {}
