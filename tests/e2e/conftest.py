"""The demo's services with a small product, in a home of their own."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from ml_tasks.config import ROOT, Environment
from perennial.services import Services
from tests.plugins.alerts.receivers import Mailbox, Receiver, serving

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.e2e.laptop import Laptop

NAME = "small_delays"


def write_product(
    folder: Path,
    *,
    cron: str = "0 0 * * 2",
    processes: int = 1,
    epochs: int = 2,
    days: int = 7,
    told: str = "",
) -> None:
    """Write the example with a split, a model and gates that fit three weeks.

    It is trained anew every so many days. With an address it listens to other systems, what
    happens is posted there, and that a champion had to give way goes by e-mail.
    """
    text = (ROOT / "ml_tasks" / "pipelines" / "flight_delays.yaml").read_text()
    product = yaml.safe_load(text)
    product["name"] = NAME
    product["split"] = {"validation_days": 3, "test_days": 4, "gap_days": 1}
    product["schedule"]["cron"] = cron
    # Two pods of a training and the cluster's own share two small nodes.
    product["resources"] = {"default": {"cpus": 0.5, "memory_gb": 3, "disk_gb": 1}}
    training = product["training"]
    training |= {"epochs": epochs, "patience": epochs, "processes": processes}
    training["params"] |= {"hidden": [32]}
    product["monitoring"] = {
        "retraining": {"policies": [{"name": "schedule", "params": {"days": days}}]}
    }
    if told:
        product["monitoring"]["retraining"]["policies"].append({"name": "outside"})
        product["monitoring"]["rollback"] = {"windows": 1}
        product["alerts"] = [
            {"kind": "webhook", "url": told},
            {"kind": "email", "to": ["a@there.example"], "on": ["rolled_back"]},
        ]
    product["evaluation"] |= {
        "baselines": ["majority"],
        "bootstrap_samples": 100,
        "gates": [
            {"name": "floor", "params": {"metric": "roc_auc", "minimum": 0.55}},
            {"name": "beats_baseline", "params": {"metric": "roc_auc", "baseline": "majority"}},
            {"name": "beats_champion", "params": {"metric": "roc_auc"}},
        ],
    }
    folder.mkdir(parents=True)
    (folder / f"{NAME}.yaml").write_text(yaml.safe_dump(product))


@pytest.fixture(scope="session")
def laptop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Laptop]:
    """What other profiles and a cluster are held against."""
    from tests.e2e.laptop import Laptop

    made = Laptop(tmp_path_factory.mktemp("laptop"))
    yield made
    made.end()


@pytest.fixture(scope="session")
def told() -> Iterator[Receiver]:
    """Who is told of what happens."""
    with serving(Receiver()) as server:
        yield server


@pytest.fixture(scope="session")
def mailbox() -> Iterator[Mailbox]:
    """Where e-mail comes in."""
    with serving(Mailbox()) as server:
        yield server


@pytest.fixture(scope="module")
def world(
    tmp_path_factory: pytest.TempPathFactory, told: Receiver, mailbox: Mailbox
) -> Iterator[dict[str, str]]:
    """The environment variables of that home; all that was started in it is ended at the end."""
    root = tmp_path_factory.mktemp("world")
    write_product(root / "pipelines", told=told.url)
    connection = {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": mailbox.server_address[1],
        "extra": {"disable_ssl": True, "disable_tls": True, "from_email": "us@here.example"},
    }
    variables = {
        "PERENNIAL_HOME": str(root / "home"),
        "PERENNIAL_PIPELINES": str(root / "pipelines"),
        "AIRFLOW_CONN_SMTP_DEFAULT": json.dumps(connection),
    }
    try:
        yield variables
    finally:
        Services(Environment(home=root / "home")).down()


@pytest.fixture
def in_world(world: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Services:
    """The services of that home, which commands called in this test find too."""
    for name, value in world.items():
        monkeypatch.setenv(name, value)
    return Services(Environment())
