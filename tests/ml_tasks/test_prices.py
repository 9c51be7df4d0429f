from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from ml_tasks.config import NODE_TYPE, Environment, Price, Prices, TaskResources, load_prices
from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from pathlib import Path

PRICES = Prices(
    currency="EUR",
    default=Price(cpu_hour=0.1, memory_gb_hour=0.01, spot_factor=0.5),
    node_types={"large": Price(cpu_hour=1, memory_gb_hour=0.1, gpu_hour=10)},
)


@pytest.mark.parametrize(
    ("given", "amount"),
    [
        (TaskResources(cpus=2, memory_gb=5), 0.25),
        (TaskResources(cpus=2, memory_gb=5, spot=True), 0.125),
        (TaskResources(cpus=2, memory_gb=5, node_selector={NODE_TYPE: "large"}), 2.5),
        (TaskResources(cpus=2, memory_gb=5, gpus=3, node_selector={NODE_TYPE: "large"}), 32.5),
        (TaskResources(cpus=2, memory_gb=5, node_selector={NODE_TYPE: "unheard of"}), 0.25),
    ],
)
def test_an_hour_costs_what_was_asked_for(given: TaskResources, amount: float) -> None:
    assert PRICES.amount(given, 3600) == pytest.approx(amount)
    assert PRICES.amount(given, 360) == pytest.approx(amount / 10)


def test_the_packaged_figures_are_in_no_currency() -> None:
    assert load_prices(Environment()).currency == "XXX"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("currency: euro\ndefault: {cpu_hour: 1, memory_gb_hour: 1}", "currency: came 'euro'"),
        ("currency: EUR", "default: came nothing"),
        ("currency: EUR\ndefault: {cpu_hour: 1, memory_hour: 1}", "such as 'memory_gb_hour'"),
        ("currency: EUR\ndefault: {cpu_hour: -1, memory_gb_hour: 1}", "a number of at least 0"),
        ("- 1", "came list, wanted a mapping"),
        ("a: [", "not YAML"),
    ],
)
def test_a_file_that_does_not_hold_says_where(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "prices.yaml").write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_prices(Environment(prices=tmp_path / "prices.yaml"))


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.yaml: cannot be read"):
        load_prices(Environment(prices=tmp_path / "none.yaml"))
