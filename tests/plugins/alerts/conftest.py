"""A product that listens and tells, and the servers of those whom it tells."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ml_tasks import config
from ml_tasks.config import ROOT, Environment
from ml_tasks.io.control import Control

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ml_tasks.config import Pipeline

NAME = "flight_delays"


@pytest.fixture(scope="session", autouse=True)
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """Airflow writes its configuration when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        yield


def write(folder: Path, *, alerts: Any = (), **retraining: Any) -> None:
    """Write the example, with other policies and channels."""
    product = yaml.safe_load((ROOT / "ml_tasks" / "pipelines" / f"{NAME}.yaml").read_text())
    product["monitoring"] = {"retraining": retraining}
    product["alerts"] = list(alerts)
    folder.mkdir(exist_ok=True)
    (folder / f"{NAME}.yaml").write_text(yaml.safe_dump(product))


@pytest.fixture
def product(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Pipeline]:
    """Writes the product into the environment of this test, and reads it."""
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path / "pipelines"))

    def make(**told: Any) -> Pipeline:
        write(tmp_path / "pipelines", **told)
        return config.load(NAME)

    return make


@pytest.fixture
def control(product: Callable[..., Pipeline]) -> Control:
    """The control database of that environment."""
    made = Control(Environment().control)
    made.migrate()
    return made
