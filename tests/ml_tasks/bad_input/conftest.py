"""A small product whose tasks run by their real command line, from CSV to champion."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ml_tasks.__main__ import main
from ml_tasks.config import Environment
from ml_tasks.flow import step
from ml_tasks.io import objects
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from ml_tasks.result import Result

START = datetime(2024, 3, 1, tzinfo=UTC)
DAYS, A_DAY = 30, 40
WINDOW = "2024-03-01/2024-03-31"
HEAD = ("id", "at", "amount", "items", "shop", "late")
PRODUCT = """\
name: parcels
description: Will a parcel be late?
owner: tests
schedule: {cron: 0 0 * * *, start: 2024-03-01}
sources:
  parcels:
    kind: csv
    params: {path: "parcels/**/*.csv"}
    key: [id]
    event_time: at
    known_at: [at]
    columns:
      id: int64
      at: timestamp
      amount: float64?
      items: int64?
      shop: string?
      late: int64
validation:
  tolerated_bad_share: 0.05
features: {columns: [amount, items, shop]}
label:
  {source: parcels, task: classification, expression: late, known_at: at, asked_before_minutes: 0}
split: {validation_days: 5, test_days: 7, gap_days: 0}
training: {model: mlp, params: {hidden: [16]}, batch_size: 128, epochs: 12, learning_rate: 0.01}
evaluation:
  metric: roc_auc
  baselines: [majority, logistic_regression, gradient_boosting]
  segments: {shop: shop}
  bootstrap_samples: 100
  gates:
    - {name: no_leak, params: {ceiling: 0.99}}
    - {name: floor, params: {metric: roc_auc, minimum: 0.6}}
    - {name: beats_baseline, params: {metric: log_loss, baseline: majority}}
    - {name: beats_champion, params: {metric: roc_auc}}
"""

Row = list[str]


@pytest.fixture
def parcels() -> list[Row]:
    """Rows of the product, in the order of `HEAD`: large amounts are late more often."""
    draw, rows = random.Random(1), []  # noqa: S311 - data of a test
    for number in range(DAYS * A_DAY):
        at = START + timedelta(minutes=number * 24 * 60 // A_DAY)
        amount = draw.gauss(50, 20)
        late = draw.random() < 1 / (1 + 2 ** (-(amount - 50) / 10))
        shop, items = draw.choice(("north", "south", "east")), draw.randint(1, 9)
        rows.append([str(number), f"{at:%Y-%m-%dT%H:%M:%SZ}", f"{amount:.2f}", str(items), shop,
                     str(int(late))])  # fmt: skip
    return rows


def csv_text(rows: Sequence[Sequence[str]], head: Sequence[str] = HEAD) -> str:
    """Rows as the text of a CSV file."""
    return "".join(",".join(cells) + "\n" for cells in (head, *rows))


@dataclass
class Product:
    """A product of its own, its state, and its tasks as a launcher starts them."""

    environment: Environment
    results: dict[str, str] = field(default_factory=dict)
    """Where each task's latest good result lies."""

    def deliver(
        self, rows: Sequence[Sequence[str]] | bytes, *, landed: int = 1, name: str = "rows.csv"
    ) -> str:
        """Lay a file into the landing zone, as landed on a day of April; give its address."""
        uri = f"{self.environment.landing_root}/parcels/landed=2024-04-{landed:02}/{name}"
        objects.write_bytes(uri, rows if isinstance(rows, bytes) else csv_text(rows).encode())
        return uri

    def bring_in(self, rows: Sequence[Sequence[str]] | bytes) -> None:
        """Deliver rows and ingest the whole window."""
        self.deliver(rows)
        self.ingestion()

    def ingestion(self, **told: Any) -> dict[str, Result]:
        """Run the tasks of an ingestion but the last, which wants MLflow."""
        return self.all_of(("ingest", "validate", "derive", "materialise"), **told)

    @property
    def yaml(self) -> Path:
        """The product's file."""
        return self.environment.pipelines / "parcels.yaml"

    def declared(self, section: str) -> dict[str, Any]:
        """Give a section of the YAML."""
        found: dict[str, Any] = yaml.safe_load(self.yaml.read_text())[section]
        return found

    def change(self, **sections: object) -> None:
        """Write the YAML anew with other sections."""
        self.yaml.write_text(yaml.safe_dump(yaml.safe_load(self.yaml.read_text()) | sections))

    def source(self, **settings: object) -> None:
        """Declare the source otherwise."""
        known = self.declared("sources")["parcels"]
        self.change(sources={"parcels": known | settings})

    def arguments(
        self,
        task: str,
        *,
        run: str = "r",
        attempt: int = 1,
        window: str = WINDOW,
        trigger: str = "",
    ) -> tuple[list[str], str]:
        """Give a task's arguments and the address of its result."""
        uri = f"{self.environment.objects_root}/runs/parcels/{run}/{task}/{attempt}/result.json"
        needs = [f"--input={need}={self.results[need]}" for need in step(task).needs
                 if need in self.results]  # fmt: skip
        return [
            task, "--pipeline", "parcels", "--run", run, "--attempt", str(attempt),
            "--window", window, *(["--trigger", trigger] if trigger else []), *needs,
            "--result", uri,
        ], uri  # fmt: skip

    def go(self, task: str, **told: Any) -> tuple[int, Result]:
        """Run a task; give its exit code and its result."""
        arguments, uri = self.arguments(task, **told)
        code = main(arguments)
        if code == 0:
            self.results[task] = uri
        return code, objects.read_result(uri)

    def all_of(self, tasks: Sequence[str], **told: Any) -> dict[str, Result]:
        """Run tasks that all have to end well."""
        done = {}
        for task in tasks:
            code, done[task] = self.go(task, **told)
            assert code == 0, done[task].error
        return done

    def refused(self, task: str, code: int, **told: Any) -> str:
        """Run a task that must not end well, and with this code; give what the user reads."""
        came, result = self.go(task, **told)
        assert result.error is not None
        assert (came, result.error.exit_code) == (code, code), result.error
        assert "Traceback" not in result.error.message
        assert "\n" not in result.error.message
        return result.error.message

    def output(self, task: str, name: str) -> str:
        """Give where an output of a task's latest good result lies."""
        return objects.read_result(self.results[task]).outputs[name].uri or ""

    def left(self, task: str, run: str = "r") -> list[str]:
        """Give the names of what a task wrote beside its result."""
        folder = f"{self.environment.run_folder('parcels', run)}/{task}"
        names = [found.uri.rsplit("/", 1)[1] for found in objects.find(folder)]
        return [name for name in names if name != "result.json"]

    def ask(self, run: str = "r") -> str:
        """Write a wish to train; give its id."""
        return self.control.ask("parcels", "test", WINDOW, who=run, evidence={}, replay=run)[0].id

    @property
    def lake(self) -> Lake:
        """The lake as it is now."""
        return Lake(self.environment)

    @property
    def control(self) -> Control:
        """The control database."""
        control = Control(self.environment.control)
        control.migrate()
        return control

    def published(self, table: str = "raw.parcels") -> int | None:
        """Give how many rows a table has; `None` where there is no table."""
        return self.lake.read(table).num_rows if self.lake.find(table) is not None else None

    def reasons(self) -> list[str]:
        """Give the reasons in quarantine."""
        table = "quarantine.parcels"
        there = self.lake.find(table) is not None
        return self.lake.read(table)["reason"].to_pylist() if there else []


@pytest.fixture
def make(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Product]:
    """Makes the product; told where MLflow is, it can register."""

    def new(mlflow_url: str = "http://127.0.0.1:9", home: str = "home") -> Product:
        folder = tmp_path / "pipelines"
        folder.mkdir(exist_ok=True)
        (folder / "parcels.yaml").write_text(PRODUCT)
        monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / home))
        monkeypatch.setenv("PERENNIAL_PIPELINES", str(folder))
        monkeypatch.setenv("PERENNIAL_MLFLOW_URL", mlflow_url)
        return Product(Environment())

    return new


@pytest.fixture
def product(make: Callable[..., Product]) -> Product:
    """The product, without MLflow."""
    return make()
