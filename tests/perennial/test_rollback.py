"""`perennial rollback` beside a real tracking server, without Airflow."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from ml_tasks import config
from ml_tasks.config import ROOT, Environment
from ml_tasks.gates.verdict import Judgement, Verdict
from ml_tasks.io import objects
from ml_tasks.io.audit import rolled_back
from ml_tasks.io.champions import Head
from ml_tasks.io.control import Control
from ml_tasks.io.registry import COMPLETE, RUN, Registry
from ml_tasks.io.watched import Grade
from ml_tasks.models.spec import Spec
from ml_tasks.monitoring import withdrawal
from ml_tasks.result import Output, Result, Window
from perennial.__main__ import main
from perennial.rollback import person

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

SPEC = Spec(
    task="regression", numeric=(), categorical=(), mean=(), scale=(), vocabularies=()
)  # fmt: skip

DIES = """
import os, signal, sys
from ml_tasks.io.registry import Registry
from perennial.__main__ import main
Registry.follow = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
main(sys.argv[1:])
"""
"""A command that is killed before it writes the alias."""


class Product:
    """A pipeline whose versions were trained, judged and registered; some became champion."""

    def __init__(self, environment: Environment, name: str) -> None:
        self.environment, self.name = environment, name
        self.control, self.registry = Control(environment.control), Registry(environment, name)
        self.control.migrate()
        self.registry.client.create_registered_model(name)

    def register(self, *, passed: bool = True, complete: bool = True) -> Head:
        """Leave what a training leaves, as far as somebody reads it."""
        client, identity = self.registry.client, self.registry.run("training")
        source = f"{client.get_run(identity).info.artifact_uri}/model"
        made = client.create_model_version(self.name, source, identity)
        version = str(made.version)
        run, weights = f"run{version}", f"weights{version}"
        root = self.environment.run_folder(self.name, run)
        said = {"spec": SPEC.model_dump(mode="json"), "weights_hash": weights}
        objects.write_text(f"{root}/train/1/model.onnx", "")
        objects.write_text(f"{root}/train/1/model.json", json.dumps(said))
        judgement = Judgement(gate="floor", passed=passed, measured=1, threshold="", evidence="")
        verdict = Verdict(
            pipeline=self.name, run=run, candidate=weights, champion=None, passed=passed,
            judgements=(judgement,),
        )  # fmt: skip
        uri = f"{root}/judge/1/verdict.json"
        objects.write_text(uri, verdict.model_dump_json())
        outputs = {"verdict": Output(uri=uri, content_hash="h")}
        judged = Result(task="judge", pipeline=self.name, run=run, outputs=outputs)
        objects.write_result(f"{root}/judge/1/result.json", judged)
        tags = {RUN: run, "weights_hash": weights, "semantic_version": f"{version}.0.0"}
        for tag, value in {**tags, **({COMPLETE: "true"} if complete else {})}.items():
            self.registry.client.set_model_version_tag(self.name, version, tag, value)
        return Head(self.name, version, run, uri, "")

    def promote(self, head: Head) -> Head:
        now = self.control.champion(self.name)
        expected = None if now is None else now.version
        self.control.promote(
            self.name, head.version, expected=expected, run=head.run,
            verdict_uri=head.verdict_uri, who="judge", why="better",
        )  # fmt: skip
        self.registry.follow(self.control)
        return self.head

    @property
    def head(self) -> Head:
        found = self.control.champion(self.name)
        assert found is not None
        return found

    def back(self, *words: str, why: str = "it errs") -> int:
        return main(["rollback", "-p", self.name, "--why", why, *words])


@pytest.fixture(scope="module")
def tracking(tmp_path_factory: pytest.TempPathFactory, mlflow_server: Callable[[Path], str]) -> str:
    return mlflow_server(tmp_path_factory.mktemp("tracking"))


@pytest.fixture
def product(home: Path, tracking: str, monkeypatch: pytest.MonkeyPatch) -> Product:
    """Three versions, the third one champion."""
    monkeypatch.setenv("PERENNIAL_MLFLOW_URL", tracking)
    made = Product(Environment(home=home, mlflow_url=tracking), home.parent.name)
    for _ in range(3):
        made.promote(made.register())
    return made


def test_back_and_further_back_and_forth_again(
    product: Product, capsys: pytest.CaptureFixture[str]
) -> None:
    for words, version in (((), "2"), ((), "1"), (("--to", "3.0.0"), "3"), (("--to", "1"), "1")):
        assert product.back(*words) == 0
        assert (product.head.version, product.registry.aliased()) == (version, version)
        assert product.head.run == f"run{version}"
    said = capsys.readouterr().out
    assert f"{product.name}: version 2 is champion in the place of 3" in said
    assert f"perennial rollback -p {product.name} --to 2 --why …" in said
    entries = product.control.audit(product.name)
    assert [e.action for e in entries] == ["promote"] * 3 + ["rollback"] * 4
    assert (entries[-1].who, entries[-1].why) == (person(), "it errs")
    assert product.control.verify_audit() is None


def test_monitoring_waits_for_other_rows_after_a_persons_rollback(product: Product) -> None:
    assert product.back() == 0
    assert rolled_back(product.control.audit(product.name)) is None  # no window is in
    start, end = "2013-01-01T00:00:00+00:00", "2013-01-08T00:00:00+00:00"
    with product.control.lease("a week", holder="r", attempt=1) as lease:
        product.control.complete(product.name, start, end, "r", lease)
    assert product.back() == 0
    assert rolled_back(product.control.audit(product.name)) == datetime(2013, 1, 8, tzinfo=UTC)


def test_a_version_that_passed_and_lost_its_race_may_be_gone_back_to(product: Product) -> None:
    spare = product.register()
    assert product.back("--to", spare.version) == 0
    assert product.head.verdict_uri == spare.verdict_uri
    assert product.back() == 0
    assert product.head.version == "2", "who was rolled away from does not come back by itself"


def test_what_cannot_be_is_said_and_changes_nothing(
    product: Product, capsys: pytest.CaptureFixture[str]
) -> None:
    draft = product.register(complete=False).version
    failed = product.register(passed=False).version
    before = product.head
    name = product.name
    for words, code, message in (
        (("--to", "9"), 78, f"{name}: came version '9', wanted one of ['5 (5.0.0)', '4 (4.0.0)'"),
        (("--to", draft), 65, f"version {draft} never passed a verdict: it was not registered to"),
        (("--to", failed), 65, f"version {failed} never passed a verdict: run run{failed} left"),
        (("--to", "3"), 78, f"{name}: version 3 is champion already, since"),
        (("--why", " "), 78, "--why: came nothing, wanted the reason"),
        (("-p", "flight_delays"), 78, "flight_delays: nothing to roll back, it has no champion"),
    ):
        assert product.back(*words) == code
        assert message in capsys.readouterr().err
    objects.delete(f"{product.environment.run_folder(name, 'run2')}/train/1/model.onnx")
    assert product.back() == 78
    assert "champion 2 of" in capsys.readouterr().err
    assert product.head == before
    assert len(product.control.audit(name)) == 3


def test_the_first_champion_has_nothing_behind_it(
    product: Product, capsys: pytest.CaptureFixture[str]
) -> None:
    assert product.back("--to", "1") == 0
    assert product.back() == 78
    assert "nothing to roll back to, no version was champion before 1" in capsys.readouterr().err


def test_killed_between_head_and_alias_the_same_call_goes_on(
    product: Product, capsys: pytest.CaptureFixture[str]
) -> None:
    killed = subprocess.run(
        [sys.executable, "-c", DIES, "rollback", "-p", product.name, "--why", "it errs"],
        check=False,
    )
    assert killed.returncode == -signal.SIGKILL
    before = product.head
    assert (before.version, product.registry.aliased()) == ("2", "3")
    assert product.back() == 0
    assert "was not finished; nothing else is moved" in capsys.readouterr().out
    assert (product.head, product.registry.aliased()) == (before, "2")
    assert product.back() == 0
    assert product.head.version == "1", "it is finished: the next call goes further back"


def test_while_mlflow_is_away_the_head_moves_and_the_alias_follows_later(
    product: Product, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with monkeypatch.context() as away:
        away.setenv("PERENNIAL_MLFLOW_URL", "http://127.0.0.1:9")
        assert product.back("--to", "7") == 75
        assert "version '7' was never champion, wanted one of ['1', '2'" in capsys.readouterr().err
        assert product.back() == 75
        assert "MLflow does not answer: its alias follows with" in capsys.readouterr().err
    assert (product.head.version, product.registry.aliased()) == ("2", "3")
    assert product.back("--to", "2") == 0
    assert (product.head.version, product.registry.aliased()) == ("2", "2")


def test_what_monitoring_left_undone_is_finished_by_the_same_command(
    product: Product, capsys: pytest.CaptureFixture[str]
) -> None:
    window = Window.parse("2013-06-11/2013-06-18")
    grade = Grade(
        pipeline=product.name, version="3", before="2", start=window.start.isoformat(),
        end=window.end.isoformat(), metric="roc_auc", value=-0.04, low=-0.06, high=-0.02,
        error=0.01, rows=900, predicted=1000, windows=2, wanted=4, known=window.end.isoformat(),
        run="w",
    )  # fmt: skip
    with product.control.lease("w", holder="w", attempt=1) as lease:
        product.control.watch(product.name, [grade], lease)
    flights = config.load("flight_delays", ROOT / "ml_tasks" / "pipelines")
    own = flights.model_copy(update={"name": product.name})
    made = withdrawal.made(product.control, product.environment, own, window, "w/decide")
    assert made.entry is not None
    assert (product.head.version, product.registry.aliased()) == ("2", "3")
    assert product.back() == 0
    assert "by w/decide was not finished; nothing else is moved" in capsys.readouterr().out
    assert (product.head.version, product.registry.aliased()) == ("2", "2")
    assert main(["audit", "show", "-p", product.name]) == 0
    assert "roc_auc of version 3 is 0.0400 worse" in capsys.readouterr().out
