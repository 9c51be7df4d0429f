"""Going back by policy: when, and exactly once."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from itertools import count
from typing import TYPE_CHECKING

import pytest

from ml_tasks import config, record
from ml_tasks.config import ROOT, Environment, Rollback
from ml_tasks.errors import PromotionLostError
from ml_tasks.gates.verdict import Verdict
from ml_tasks.io import objects
from ml_tasks.io.control import Control
from ml_tasks.io.watched import Grade, Measure
from ml_tasks.models.spec import Spec
from ml_tasks.monitoring import standing, withdrawal
from ml_tasks.result import Window

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

PIPELINE = config.load("flight_delays", ROOT / "ml_tasks" / "pipelines")
NAME = PIPELINE.name
WINDOWS = [Window.parse(w) for w in ("2013-06-04/2013-06-11", "2013-06-11/2013-06-18")]
WORSE = Grade(
    pipeline=NAME, version="2", before="1", start=WINDOWS[0].start.isoformat(),
    end=WINDOWS[1].end.isoformat(), metric="roc_auc", value=-0.04, low=-0.06, high=-0.02,
    error=0.01, rows=900, predicted=1000, windows=2, wanted=4,
    known=WINDOWS[1].end.isoformat(), run="w",
)  # fmt: skip
DIES = """
import os, signal, sys
from ml_tasks.config import Environment
from ml_tasks.io.control import Control
from ml_tasks.monitoring import withdrawal
from tests.ml_tasks.monitoring.test_withdrawal import PIPELINE, WINDOWS
setattr(Control, sys.argv[2], lambda *_, **__: os.kill(os.getpid(), signal.SIGKILL))
environment = Environment(home=sys.argv[1])
withdrawal.made(Control(environment.control), environment, PIPELINE, WINDOWS[1], "w/decide")
"""
"""A decision that is killed before it writes something."""


class Product:
    """Two versions of flight_delays, the second one promoted over the first, and its grade."""

    def __init__(self, environment: Environment, grades: Sequence[Grade] = (WORSE,)) -> None:
        self.environment, self.control = environment, Control(environment.control)
        self.control.migrate()
        for version, before in (("1", None), ("2", "1")):
            trigger, _ = self.control.ask(NAME, "form", version, who="me", evidence={})
            self.control.claim(trigger.id, f"run{version}")
            self.control.finish(trigger.id, f"promoted version {version}")
            self.train(version)
            self.promote(version, before)
        with self.control.lease("w", holder="w", attempt=1) as lease:
            self.control.watch(NAME, list(grades), lease)

    def train(self, version: str, numeric: tuple[str, ...] = ()) -> None:
        """Leave what a training leaves, as far as somebody reads it."""
        root, n = self.environment.run_folder(NAME, f"run{version}"), len(numeric)
        spec = Spec(
            task="classification", numeric=numeric, categorical=(), mean=(0.0,) * n,
            scale=(1.0,) * n, vocabularies=(),
        )  # fmt: skip
        said = {"spec": spec.model_dump(mode="json"), "weights_hash": f"weights{version}"}
        verdict = Verdict(
            pipeline=NAME, run=f"run{version}", candidate=f"weights{version}", champion=None,
            passed=True, judgements=(),
        )  # fmt: skip
        objects.write_text(f"{root}/train/1/model.onnx", "")
        objects.write_text(f"{root}/train/1/model.json", json.dumps(said))
        objects.write_text(f"{root}/judge/1/verdict.json", verdict.model_dump_json())

    def promote(self, version: str, before: str | None) -> None:
        uri = f"{self.environment.run_folder(NAME, f'run{version}')}/judge/1/verdict.json"
        self.control.promote(
            NAME, version, expected=before, run=f"run{version}", verdict_uri=uri, who="judge",
            why="better",
        )  # fmt: skip

    def back(self, window: Window = WINDOWS[1], who: str = "w/decide") -> int | None:
        """Decide; give the number of the entry that the window brought."""
        made = withdrawal.made(self.control, self.environment, PIPELINE, window, who)
        return None if made.entry is None else made.entry.number

    @property
    def champion(self) -> str:
        head = self.control.champion(NAME)
        assert head is not None
        return head.version

    @property
    def moves(self) -> list[str]:
        return [entry.action for entry in self.control.audit(NAME)]


@pytest.fixture
def product(environment: Environment) -> Product:
    return Product(environment)


def test_it_goes_back_once_and_says_why(product: Product) -> None:
    assert [product.back(), product.back(), product.back(who="another/decide")] == [3, 3, 3]
    assert (product.champion, product.moves) == ("1", ["promote", "promote", "rollback"])
    entry = product.control.audit(NAME)[-1]
    assert entry.who == "w/decide"
    assert entry.why == (
        "roc_auc of version 2 is 0.0400 worse [-0.0600, -0.0200] than that of 1 on the same 900 "
        "rows of 2 windows"
    )
    assert entry.detail["window"] == "2013-06-11/2013-06-18"
    assert product.control.verify_audit() is None
    (trigger,) = (t for t in product.control.triggers(NAME) if t.run == "run2")
    assert trigger.outcome is not None
    assert trigger.outcome.startswith("promoted version 2, rolled back: roc_auc of version 2 is")
    record.tell(product.control, trigger.id, "promoted version 2")  # cleared, and run again
    assert product.control.trigger(trigger.id).outcome == trigger.outcome
    record.tell(product.control, trigger.id, "failed at train")
    assert product.control.trigger(trigger.id).outcome == "failed at train"


def test_it_never_goes_to_and_fro(product: Product) -> None:
    product.back()
    with pytest.raises(PromotionLostError, match="version 2 was champion by run run2 before"):
        product.promote("2", "1")
    later = Window.parse("2013-06-18/2013-06-25")
    assert product.back(later) is None
    head = product.control.champion(NAME)
    assert head is not None
    withdrawn = replace(head, version="2", run="run2")
    product.control.rollback(withdrawn, seen=head, who="me", why="I know better")
    assert (product.back(), product.back(later), product.champion) == (None, None, "2")
    product.train("3")
    product.promote("3", "2")
    assert product.back(later) is None, "nothing is known of this one"


@pytest.mark.parametrize("write", ["rollback", "finish"])
def test_killed_between_two_writes_the_next_attempt_ends_in_the_same(
    product: Product, write: str
) -> None:
    home = str(product.environment.home)
    killed = subprocess.run([sys.executable, "-c", DIES, home, write], check=False, cwd=ROOT)
    assert killed.returncode == -signal.SIGKILL
    assert product.champion == {"rollback": "2", "finish": "1"}[write]
    assert (product.back(), product.champion, len(product.moves)) == (3, "1", 3)
    outcomes = [t.outcome or "" for t in product.control.triggers(NAME) if t.run == "run2"]
    assert "rolled back" in outcomes[0]


def test_of_many_at_once_one_goes_back_and_all_of_its_window_say_so(
    tmp_path: Path, database_url: str
) -> None:
    product = Product(Environment(home=tmp_path, control_url=database_url))
    windows = [WINDOWS[1], Window.parse("2013-06-18/2013-06-25")] * 4
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(product.back, windows, [f"run{n}" for n in range(8)]))
    assert product.moves == ["promote", "promote", "rollback"]
    assert sorted(map(str, found)) == ["3"] * 4 + ["None"] * 4
    assert len({(number, window) for number, window in zip(found, windows, strict=True)}) == 2
    assert product.control.verify_audit() is None


@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param({"error": 0.017}, "", id="not beyond the chance of three looks"),
        pytest.param({"low": 0.01, "high": 0.03, "value": 0.02}, "0.0200 better", id="better"),
        pytest.param({"windows": 1}, "; wanted 2 windows and 200 rows", id="one window"),
        pytest.param({"rows": 199}, "; wanted 2 windows and 200 rows", id="few rows"),
        pytest.param({"low": None, "high": None, "error": None}, "", id="a single day"),
    ],
)
def test_reasons_to_stay(change: dict[str, float], why: str) -> None:
    found = standing.paired(Rollback(), replace(WORSE, **change))  # type: ignore[arg-type]
    assert (found.back, why in found.why) == (False, True), found.why


def test_a_drop_that_is_allowed_for() -> None:
    assert standing.paired(Rollback(drop=0.016), WORSE).back
    assert not standing.paired(Rollback(drop=0.017), WORSE).back
    assert standing.paired(Rollback(windows=4), replace(WORSE, windows=4, error=0.017)).back


def measured(version: str, *values: float, first: int = 4, error: float = 0.005) -> list[Measure]:
    return [
        Measure(
            pipeline=NAME, version=version, start=f"2013-06-{first + n:02}T00:00:00+00:00",
            end=f"2013-06-{first + n + 1:02}T00:00:00+00:00", kind="realised", metric="roc_auc",
            segment="", value=value, low=None, high=None, error=error, rows=500, predicted=500,
            known="", run="",
        )
        for n, value in enumerate(values)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("ours", "theirs", "back"),
    [
        ((0.70, 0.72), (0.80, 0.60, 0.74, 0.76), True),
        ((0.74, 0.75), (0.74, 0.76), False),
        ((0.80, 0.82), (0.74, 0.76), False),
        ((0.70,), (0.74, 0.76), None),
        ((0.70, 0.72), (0.76,), None),
    ],
)
def test_windows_that_are_not_the_same(
    ours: tuple[float, ...], theirs: tuple[float, ...], back: bool | None
) -> None:
    found = standing.apart(Rollback(), measured("2", *ours, first=11), measured("1", *theirs))
    assert (found.back if found else None) is back


def test_without_shadows_the_interval_of_the_one_before_decides(environment: Environment) -> None:
    product = Product(environment, ())
    found = [*measured("1", 0.75, 0.75), *measured("2", 0.70, 0.70, first=6)]
    with product.control.lease("w", holder="w", attempt=1) as lease:
        product.control.watch(NAME, found, lease)
    product.train("1", numeric=("gone",))
    assert product.back() is None, "what it takes in may not be there any more"
    product.train("1")
    assert product.back() == 3
    entry = product.control.audit(NAME)[-1]
    assert (entry.detail["paired"], entry.detail["difference"]) == (False, pytest.approx(-0.05))
    assert "its last 2 windows, that of 1 was 0.7500" in entry.why


def test_switched_off_it_stays(product: Product) -> None:
    off = PIPELINE.monitoring.model_copy(update={"rollback": Rollback(automatic=False)})
    quiet = PIPELINE.model_copy(update={"monitoring": off})
    made = withdrawal.made(product.control, product.environment, quiet, WINDOWS[1], "w")
    assert (made.entry, made.fault, product.champion) == (None, None, "2")


def test_objects_that_are_gone_are_no_reason_to_stop_but_are_told_of(product: Product) -> None:
    objects.delete(f"{product.environment.run_folder(NAME, 'run1')}/train/1/model.onnx")
    made = withdrawal.made(product.control, product.environment, PIPELINE, WINDOWS[1], "w")
    assert (made.entry, product.champion) == (None, "2")
    assert "no model weights1 under" in str(made.fault)


@pytest.mark.parametrize("look", ["audit", "champion"])
@pytest.mark.parametrize("number", [1, 2, 3])
def test_who_is_promoted_while_it_is_decided_stays(
    product: Product, monkeypatch: pytest.MonkeyPatch, look: str, number: int
) -> None:
    """The grade is another one's, and nothing is known of it yet: after whichever look it comes."""
    product.train("3")
    real, looks = getattr(Control, look), count(1)

    def then_another(control: Control, *of: str) -> object:
        seen = real(control, *of)
        if next(looks) == number:
            product.promote("3", "2")
        return seen

    with monkeypatch.context() as patch:
        patch.setattr(Control, look, then_another)
        came = product.back()
    if next(looks) > number:
        assert (came, product.champion) == (None, "3")
    else:  # nobody looked so often: nobody was promoted, and it went back
        assert (came, product.champion) == (3, "1")
