"""The policies that are held against each other, and which of their parameters are tried."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING, Any

from ml_tasks.config import Policy, Retraining

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

NEVER, WEEKLY, OURS, CONFIGURED = "never", "every week", "ours", "as configured"
EVERY = {WEEKLY: 7, "every two weeks": 14, "every four weeks": 28, "every eight weeks": 56}
"""Days between two trainings, whatever happens."""
TRIED: Mapping[str, Mapping[str, tuple[Any, ...]]] = {
    "drift": {"within_days": (7, 14)},
    "performance": {"windows": (1, 2, 4), "drop": (0.5, 1.0, 2.0)},
    "schedule": {"days": (14, 28, 56)},
}
"""By policy and parameter; `drop` in multiples of what the YAML says."""
COOL_DOWN = (7, 14, 28)
"""Days, tried with each of them."""
USUAL_DROP = 0.01
"""Where the YAML says none."""


def all_of(given: Retraining) -> dict[str, list[Retraining]]:
    """Give by name the variants of each policy: one where there is nothing to choose.

    Args:
        given: What the YAML says; its limits hold where none is tried.
    """
    found = {NEVER: [Retraining()]}
    for name, days in EVERY.items():
        own = Policy(name="schedule", params={"days": days})
        found[name] = [Retraining(policies=(own,), cool_down_days=days, most_a_month=31)]
    if given.policies:
        found[CONFIGURED] = [given]
    drop = next((p.params["drop"] for p in given.policies if "drop" in p.params), USUAL_DROP)
    return found | {
        "drift only": list(_variants(given, ("drift",), drop)),
        "performance only": list(_variants(given, ("performance",), drop)),
        OURS: list(_variants(given, ("performance", "drift", "schedule"), drop)),
    }


def _variants(given: Retraining, names: tuple[str, ...], drop: float) -> Iterator[Retraining]:
    axes = [
        [(name, param, value) for value in values]
        for name in names
        for param, values in TRIED[name].items()
    ]
    for days, *chosen in product(COOL_DOWN, *axes):
        told: dict[str, dict[str, Any]] = {name: {} for name in names}
        for name, param, value in chosen:
            told[name][param] = round(value * drop, 6) if param == "drop" else value
        policies = tuple(Policy(name=name, params=params) for name, params in told.items())
        yield Retraining(
            policies=policies,
            cool_down_days=days,
            most_a_month=given.most_a_month,
            least_gain=given.least_gain,
        )
