"""Four weeks of a small product by the real command: killed in a training, and gone on with."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, cast

import numpy as np
import pytest
import yaml
from rich.console import Console

from ml_tasks import config
from ml_tasks.config import Environment
from ml_tasks.errors import BackendError
from ml_tasks.io import objects, runs
from ml_tasks.io.control import Control
from perennial import telling, weeks, year
from perennial.__main__ import main
from perennial.processes import Processes
from perennial.services import Services
from perennial.story import Story
from tests.shop import NAME, lay_down, returns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

A_DAY = 150
FULL = os.environ.get("PERENNIAL_FAULTS") == "all"  # noqa: TID251 - a switch of the tests
START, DAYS = datetime(2024, 1, 1, tzinfo=UTC), 28


def deliver(folder: Path, day: datetime) -> None:
    """Lay down orders of a day: whether one comes back depends on price and shop."""
    dice = np.random.default_rng(day.toordinal())
    price = dice.normal(10, 3, A_DAY)
    shop = dice.choice(["north", "south", "east"], A_DAY, p=[0.5, 0.3, 0.2])
    chance = 1 / (1 + np.exp(-(0.6 * (price - 10) + (shop == "east") * 1.5 - 0.5)))
    minutes = np.sort(dice.choice(24 * 60, A_DAY, replace=False))
    returned = dice.random(A_DAY) < chance
    lay_down(folder, day, minutes, price=price, shop=shop, returned=returned)


def product(orders: str) -> dict[str, Any]:
    return returns(
        orders,
        schedule={"cron": "0 0 * * 1", "start": f"{START:%Y-%m-%d}", "end": "2024-01-28"},
        split={"validation_days": 3, "test_days": 4},
        training={
            "model": "mlp", "params": {"hidden": [8]}, "epochs": 6, "batch_size": 32,
            "learning_rate": 0.01,
        },
        evaluation={
            "metric": "roc_auc",
            "bootstrap_samples": 50,
            "gates": [
                {"name": "floor", "params": {"metric": "roc_auc", "minimum": 0.6}},
                {"name": "beats_champion", "params": {"metric": "roc_auc"}},
            ],
        },
        monitoring={
            "engine": "scipy",
            "label_days": 1,
            "retraining": {
                "policies": [{"name": "schedule", "params": {"days": 7}}], "cool_down_days": 14,
            },
        },
    )  # fmt: skip


@dataclass(frozen=True, slots=True)
class Place:
    """A home in which the command runs."""

    variables: dict[str, str]

    def start(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "perennial", "year", "-p", NAME, *words],
            env={**os.environ, **self.variables},  # noqa: TID251 - a child's environment
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def trains(self, until: str) -> bool:
        """Tell whether the task `train` of a week's training has come to a checkpoint."""
        root = self.services().environment.objects_root
        return bool(objects.find(f"{root}/runs/{NAME}/year-training-{until}/train/checkpoints"))

    def services(self) -> Services:
        return Services(Environment(home=self.variables["PERENNIAL_HOME"]))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("year")
    for day in (START + timedelta(days=n) for n in range(DAYS)):
        deliver(root / "orders", day)
    (root / "pipelines").mkdir()
    text = yaml.safe_dump(product((root / "orders").as_uri()))
    (root / "pipelines" / f"{NAME}.yaml").write_text(text)
    return root


@pytest.fixture(scope="module")
def place(folder: Path) -> Iterator[Place]:
    made = Place(
        {
            "PERENNIAL_HOME": str(folder / "home"),
            "PERENNIAL_PIPELINES": str(folder / "pipelines"),
            "PERENNIAL_COMMIT": "c0ffee",
        }
    )
    yield made
    made.services().down()


@pytest.fixture(scope="module")
def told(place: Place) -> dict[str, Any]:
    """The story of a command that was killed while its second training ran."""
    first = place.start()
    while not (found := place.trains("2024-01-22")) and first.poll() is None:
        time.sleep(0.2)
    first.send_signal(signal.SIGKILL)
    printed, _progress = first.communicate(timeout=60)
    assert found, printed
    assert "training asked for by year" in printed
    (claimed,) = [
        one
        for one in Control(place.services().present.control).triggers(NAME)
        if one.cause == "monitor"
    ]
    assert claimed.state == "claimed"
    again = place.start("--json")
    said, progress = again.communicate(timeout=240)
    assert again.returncode == 0, progress
    assert "weeks 4/4" in progress
    told: dict[str, Any] = json.loads(said)
    return told


def test_weeks_go_by_in_their_order(told: dict[str, Any]) -> None:
    first, second, third, fourth = told["weeks"]
    assert [week["watched"] for week in (first, second)] == [None, None]
    assert first["trainings"] == []
    (made,) = second["trainings"]
    assert (made["cause"], made["version"], made["before"]) == ("year", "1", None)
    assert all(made["gates"].values())
    assert {"assemble.set", "train.model", "reference.reference", "judge.verdict"} <= set(
        made["outputs"]
    )
    assert [week["watched"]["version"] for week in (third, fourth)] == ["1", "1"]
    assert {"ingest.staged_orders", "validate.raw_orders"} <= set(fourth["outputs"])


def test_what_was_decided_is_trained_and_may_be_refused(told: dict[str, Any]) -> None:
    third, fourth = told["weeks"][2:]
    assert third["watched"]["train"]
    (made,) = third["trainings"]
    assert (made["cause"], made["policies"], made["version"]) == ("monitor", ["schedule"], None)
    (failed,) = made["failed"]
    assert failed.startswith("beats_champion")
    assert not fourth["watched"]["train"]
    assert "cool-down of 14 days" in fourth["watched"]["why"]
    assert (fourth["trainings"], told["champions"]) == ([], [["promote", "1"]])
    assert min(told["cpu_seconds"].values()) > 0


@pytest.mark.skipif(not FULL, reason="PERENNIAL_FAULTS=all: a second home takes as long again")
def test_another_home_that_nobody_disturbs_has_the_same_story(
    folder: Path, place: Place, told: dict[str, Any]
) -> None:
    other = Place({**place.variables, "PERENNIAL_HOME": str(folder / "other")})
    said, progress = other.start("--json").communicate(timeout=240)
    found = json.loads(said)
    assert [week["hash"] for week in found["weeks"]] == [week["hash"] for week in told["weeks"]]
    assert found["hash"] == told["hash"], progress


def test_nothing_is_done_twice_and_nothing_is_left(place: Place, told: dict[str, Any]) -> None:
    control = Control(place.services().present.control)
    costs = [(one.run, one.task) for one in control.costs(pipeline=NAME) if one.state == "done"]
    assert len(costs) == len(set(costs))
    for week in told["weeks"]:
        run = f"year-monitoring-{week['window'][:10]}"
        recorded = runs.results(place.services().present, NAME, run).get("record")
        written = {task for of, task in costs if of == run}
        if week["watched"] is None:
            assert recorded is None
        else:
            assert recorded is not None
            assert recorded.error is None
            assert written == {"score", "monitor", "decide"}
    known = Processes(place.services().home).known()
    assert not [name for name, one in known.items() if one.alive]
    assert "api-server" not in known


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--from", "2024-13-01"], "--from: came '2024-13-01', wanted a day"),
        (["--until", "soon"], "--until: came 'soon', wanted a day"),
        (["--until", "2024-01-02"], "--until: came 2024-01-02, wanted 2024-01-08 at least"),
        (["--from", "2024-02-01"], "--from: came 2024-02-01, wanted 2024-01-22 at the latest"),
    ],
)
def test_days_that_cannot_be_are_said(
    words: list[str],
    message: str,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(folder / "pipelines"))
    assert main(["year", "-p", NAME, *words]) == 78
    assert message in capsys.readouterr().err


def test_weeks_lie_between_two_days(folder: Path) -> None:
    pipeline = config.load(NAME, folder / "pipelines")
    assert [str(week) for week in weeks.chosen(pipeline, "2024-01-09", "2024-01-29")] == [
        "2024-01-15/2024-01-22", "2024-01-22/2024-01-29",
    ]  # fmt: skip
    assert len(weeks.chosen(pipeline, "", "")) == 4


class Beside:
    """What `_running` asks of services."""

    with_airflow, names = False, ("mlflow", "warm")

    def __init__(
        self, home: Path, fault: Exception | None = None, dead: tuple[str, ...] = ()
    ) -> None:
        self.home, self.fault, self.ended, self._dead = home, fault, 0, dead
        self.processes = Processes(home)

    def dead(self) -> list[str]:
        return list(self._dead)

    def up(self, _told: object) -> None:
        if self.fault:
            raise self.fault

    def down(self) -> None:
        self.ended += 1


def test_two_years_in_one_home_have_their_services_to_the_end(tmp_path: Path) -> None:
    first, second = Beside(tmp_path), Beside(tmp_path)
    out = Console(file=io.StringIO())
    outer, inner = (year._running(cast("Services", one), out) for one in (first, second))
    with outer:
        with inner:
            pass
        assert (first.ended, second.ended) == (0, 0)
    assert (first.ended, second.ended) == (1, 0)


@pytest.mark.parametrize(("dead", "ended"), [(("mlflow", "warm"), 1), (("warm",), 0)])
def test_what_began_before_one_did_not_start_is_ended(
    tmp_path: Path, dead: tuple[str, ...], ended: int
) -> None:
    """Unless something ran before: that is somebody else's, as a restore's database."""
    services = Beside(tmp_path, BackendError("mlflow did not start"), dead)
    with (
        pytest.raises(BackendError),
        year._running(cast("Services", services), Console(file=io.StringIO())),
    ):
        pass
    assert services.ended == ended


def test_a_version_that_was_rolled_back_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    moves = (("promote", "1"), ("promote", "2"), ("rollback", "1"))
    told = Story(pipeline=NAME, metric="roc_auc", weeks=(), champions=moves, cpu_seconds={})
    telling.story(told)
    assert "champion in turn: 1, 2, back to 1\n" in capsys.readouterr().out
    telling.story(replace(told, champions=moves[:2]))
    assert "in turn" not in capsys.readouterr().out
