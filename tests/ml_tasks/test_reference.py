"""What part of its owner's budget a product is watched with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ml_tasks import config
from ml_tasks.config import Environment
from ml_tasks.monitoring.budget import Budget
from ml_tasks.reference import part
from tests.shop import returns

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def environment(tmp_path: Path) -> Environment:
    folder = tmp_path / "pipelines"
    folder.mkdir()
    return Environment(home=tmp_path / "home", pipelines=folder)


def write(environment: Environment, name: str, owner: str, **alarms: Any) -> None:
    told = returns(
        "file:///orders",
        name=name,
        owner=owner,
        split={"validation_days": 7, "test_days": 14},
        training={"model": "mlp"},
        evaluation={"metric": "roc_auc", "gates": [{"name": "beats_champion"}]},
        monitoring={"alarms": alarms},
    )
    (environment.pipelines / f"{name}.yaml").write_text(yaml.safe_dump(told))


def parts(environment: Environment) -> dict[str, Budget]:
    known, _faults = config.load_good(environment.pipelines)
    return {one.name: part(one, environment) for one in known}


def test_products_of_one_owner_share_their_budget_evenly(environment: Environment) -> None:
    for name in ("returns", "refunds"):
        write(environment, name, "shop", false_pages=1, days=30)
    write(environment, "parcels", "post", false_pages=2, days=91)
    found = parts(environment)
    assert found == {
        "parcels": Budget(2, 91), "refunds": Budget(0.5, 30), "returns": Budget(0.5, 30),
    }  # fmt: skip
    together = sum(1 / found[name].threshold(1.0) for name in ("returns", "refunds"))
    assert together == pytest.approx(1 / 30), "pages a day"


def test_a_product_that_comes_later_counts_from_then_on_and_one_at_fault_does_not(
    environment: Environment,
) -> None:
    write(environment, "returns", "shop")
    assert parts(environment) == {"returns": Budget(1, 91)}
    for name in ("refunds", "stock"):
        write(environment, name, "shop")
    assert set(parts(environment).values()) == {Budget(1 / 3, 91)}
    (environment.pipelines / "stock.yaml").write_text("owner: shop")
    assert set(parts(environment).values()) == {Budget(0.5, 91)}
