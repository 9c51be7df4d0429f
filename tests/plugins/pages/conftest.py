"""Homes as real runs of years leave them, and browsers before their pages."""

from __future__ import annotations

import json
import math
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from ml_tasks.config import ROOT, Environment
from ml_tasks.io import objects
from ml_tasks.io.control import Control
from ml_tasks.io.costs import Cost
from ml_tasks.io.watched import Alarm, Look, Measure
from ml_tasks.result import Output, Result, Window

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from fastapi.testclient import TestClient

HOSTILE = "<script>alert(1)</script>"
NAME, OTHER = "flight_delays", "arrival_delay"
FIRST = datetime(2013, 1, 1, tzinfo=UTC)
LEARNED = 10
"""Windows that the first champion learned from."""


def week(number: int) -> Window:
    return Window(start=FIRST + timedelta(weeks=number), end=FIRST + timedelta(weeks=number + 1))


def wave(*numbers: float) -> float:
    """A number between -1 and 1 that looks like chance and is always the same."""
    return math.sin(43.7 * sum((n + 1) * 12.9898 * 6.02**k for k, n in enumerate(numbers)))


class Filled:
    """A control database and objects as real runs of two years leave them."""

    def __init__(self, environment: Environment, name: str, metric: str, level: float) -> None:
        self.environment, self.name, self.metric, self.level = environment, name, metric, level
        self.control = Control(environment.control)
        self.control.migrate()

    def ingested(self, number: int, quarantined: int = 0) -> None:
        window, run = week(number), f"scheduled__{week(number).start:%Y-%m-%dT%H-%M-%S}"
        with self.control.lease(f"{self.name} {number}", holder=run, attempt=1) as lease:
            start, end = window.start.isoformat(), window.end.isoformat()
            self.control.complete(self.name, start, end, run, lease)
        counts = {"staged": 6000 + quarantined, "published": 6000, "quarantined": quarantined}
        folder = f"{self.environment.objects_root}/runs/{self.name}/{run}/validate/1"
        objects.write_text(f"{folder}/data_docs.json", json.dumps({"counts": counts}))

    def trained(
        self, version: str, until: int, *, passed: bool = True, cause: str = "form", why: str = ""
    ) -> str:
        """A training: its trigger, what its tasks left, its promotion."""
        window = Window(start=FIRST, end=week(until).start)
        run = f"train-{version}"
        asked, _ = self.control.ask(
            self.name, cause, str(window), who="somebody", evidence={"why": why}, replay=version
        )
        self.control.claim(asked.id, run)
        where = f"{self.environment.objects_root}/runs/{self.name}/{run}"
        bounds = {"value": self.level, "low": self.level - 0.02, "high": self.level + 0.02}
        told = {
            "metrics": {self.metric: {**bounds, "error": 0.01, "bias": "NaN"}},
            "segments": [
                {"name": "carrier=UA", "rows": 900, "days": 7.0, "metrics": {self.metric: bounds}}
            ],
        }
        objects.write_text(f"{where}/evaluate/1/evaluation.json", json.dumps(told))
        gates = [
            {"gate": "floor", "passed": True, "measured": 0.7, "threshold": "at least 0.68",
             "interval": None, "evidence": why or "measured on 20,000 rows"},
            {"gate": "beats_champion", "passed": passed, "measured": None, "threshold": "above 0",
             "interval": None, "evidence": "0.001 better, 95 % from -0.002 to 0.004"},
        ]  # fmt: skip
        left = {
            "assemble": {"rows": {"train": 40000, "validation": 9000, "test": 20000}},
            "evaluate": {"champion": None},
            "judge": {"passed": passed, "gates": gates},
            **({"register": {"version": version, "semantic_version": "1.0.0"}} if passed else {}),
        }
        for number, (task, values) in enumerate(left.items()):
            uri = f"{where}/{task}/1/result.json"
            measured = Output(uri=f"{where}/evaluate/1/evaluation.json", content_hash="0")
            result = Result(
                task=task, pipeline=self.name, run=run, values=values,
                outputs={"evaluation": measured} if task == "evaluate" else {},
                window=window, started=FIRST + timedelta(minutes=number),
            )  # fmt: skip
            objects.write_result(uri, result)
        if passed:
            head = self.control.champion(self.name)
            self.control.promote(
                self.name, version, expected=None if head is None else head.version, run=run,
                verdict_uri=f"{where}/judge/1/verdict.json", who="train-run", why="2 gates passed",
            )  # fmt: skip
        said = f"promoted version {version}" if passed else "gates failed: beats_champion"
        self.control.finish(asked.id, said)
        self.charged(run, "train", "done", datetime.now(UTC))
        return run

    def charged(self, run: str, task: str, state: str, at: datetime, attempt: int = 1) -> None:
        self.control.charge([
            Cost(
                pipeline=self.name, run=run, task=task, attempt=attempt,
                at=f"{at:%Y-%m-%dT%H:%M:%SZ}", state=state, pods=1, cpus=1, memory_gb=3, gpus=0,
                node_type="", spot=False, wall_seconds=60, pod_seconds=60, cpu_seconds=55,
                gpu_seconds=0, peak_memory_mb=900, amount=0.012, currency="XXX",
            )
        ])  # fmt: skip

    def watched(
        self, number: int, version: str, *, drop: float = 0.0, signals: int = 6, hot: float = 0.0
    ) -> None:
        """A window as the task `monitor` leaves it; `hot` is the first signal's last share."""
        window, run = week(number), f"watch-{number}"
        found: list[Measure | Look | Alarm] = []
        for kind in ("realised", "estimated"):
            for segment in ("", "carrier=UA", "carrier=<b>") if kind == "realised" else ("",):
                value = self.level - drop + 0.012 * wave(number, len(segment), len(kind))
                found.append(
                    Measure(
                        pipeline=self.name, version=version, start=window.start.isoformat(),
                        end=window.end.isoformat(), kind=kind, metric=self.metric,
                        segment=segment, value=value, low=value - 0.02, high=value + 0.02,
                        error=0.01, rows=5800, predicted=6000, known=window.end.isoformat(),
                        run=run,
                    )
                )  # fmt: skip
        for day in range(7):
            at = f"{window.start + timedelta(days=day):%Y-%m-%d}"
            for signal in range(signals):
                share = 0.004 * (1 + wave(number, day, signal)) * (1 + signal % 5)
                if signal == 0 and hot:
                    share = hot * (day + 1) / 7
                found.append(
                    Look(
                        pipeline=self.name, version=version, day=at, signal=f"ks column_{signal}",
                        value=0.05 + share, p_value=0.2, cost=0.001, rows=850, run=run,
                        share=share,
                    )
                )  # fmt: skip
            if hot >= 1 and day == 6:
                moved = [{"name": "ks column_0", "share": hot, "cost": 0.004}]
                found.append(
                    Alarm(
                        pipeline=self.name, version=version, day=at, of="inputs", level=hot,
                        paged=True, loss=0.004, signals=moved, run=run,
                    )
                )  # fmt: skip
        with self.control.lease(f"watched {self.name}", holder=run, attempt=1) as lease:
            self.control.watch(self.name, found, lease)


def filled(environment: Environment, *, windows: int = 18, signals: int = 6) -> Filled:
    """Windows of a product with two champions and a refused training between them."""
    made = Filled(environment, NAME, "roc_auc", 0.73)
    for number in range(windows):
        made.ingested(number, quarantined=17 if number % 9 == 8 else 0)
    made.trained("1", LEARNED)
    half = (LEARNED + windows) // 2
    for number in range(LEARNED, half):
        late = number >= half - 3
        hot = 1.6 if number == half - 1 else 0.4 if late else 0.0
        made.watched(number, "1", drop=0.03 * late, signals=signals, hot=hot)
    made.trained("2", half - 2, passed=False, cause="schedule")
    made.trained("3", half, cause="monitor", why=f"ks column_0 moved {HOSTILE}")
    for number in range(half, windows):
        made.watched(number, "3", signals=signals)
    return made


@pytest.fixture(scope="module", autouse=True)
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Airflow writes its configuration when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        yield


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("products")
    for name in (NAME, OTHER):
        shutil.copy(ROOT / "ml_tasks" / "pipelines" / f"{name}.yaml", folder)
    (folder / "broken.yaml").write_text(f"name: broken\ndescription: '{HOSTILE}'\nowner: me\n")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """What two products have left; nobody changes it."""
    environment = Environment(home=tmp_path_factory.mktemp("home"))
    made = filled(environment)
    other = Filled(environment, OTHER, "mae", 14.0)
    for number in (0, 1, 3):
        other.ingested(number)
    other.charged("scheduled__x", "validate", "failed", datetime.now(UTC))
    other.charged("mended", "validate", "failed", datetime.now(UTC))
    other.charged("mended", "validate", "done", datetime.now(UTC), attempt=2)
    return made


@pytest.fixture(scope="session")
def fill() -> Callable[..., Any]:
    """Makes a product in a home; its methods are what runs would do."""
    return Filled


@pytest.fixture
def stranger(home: Filled, products: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A browser that has not logged in."""
    from fastapi.testclient import TestClient
    from ml_pages.pages import app

    monkeypatch.setenv("PERENNIAL_HOME", str(home.environment.home))
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(products))
    return TestClient(app)


@pytest.fixture
def browser(stranger: TestClient, token: Callable[..., str]) -> TestClient:
    """A browser that Airflow knows."""
    stranger.headers["Authorization"] = f"Bearer {token()}"
    return stranger


@pytest.fixture
def empty(
    browser: TestClient, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> TestClient:
    """A browser before a home in which nothing has happened."""
    monkeypatch.setenv("PERENNIAL_HOME", str(environment.home))
    return browser
