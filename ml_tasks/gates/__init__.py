"""Conditions of a promotion: a gate is a file here and one line in `GATES`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

from ml_tasks.config import Gate, hold
from ml_tasks.errors import ConfigError
from ml_tasks.gates import beats_baseline, beats_champion, floor, no_leak, worst_segment

if TYPE_CHECKING:
    from collections.abc import Iterable

    from pydantic import BaseModel

    from ml_tasks.gates.verdict import Judgement, Measured


class _GateModule(Protocol):
    @property
    def Params(self) -> type[BaseModel]: ...  # noqa: N802 - the name of a class

    @property
    def TEST_DAYS(self) -> int: ...  # noqa: N802 - the name of a constant

    def judge(self, measured: Measured, params: Any) -> Judgement: ...


GATES: dict[str, _GateModule] = {
    "floor": floor,
    "no_leak": no_leak,
    "beats_baseline": beats_baseline,
    "beats_champion": beats_champion,
    "worst_segment": worst_segment,
}

ALWAYS = Gate(name="no_leak")
"""Held against every candidate: each set that is assembled is proven."""


def held(named: Iterable[Gate]) -> tuple[Gate, ...]:
    """Give the gates that a product names, and `no_leak` where it is none of them."""
    named = tuple(named)
    return named if any(gate.name == ALWAYS.name for gate in named) else (*named, ALWAYS)


def params_of(gate: Gate) -> BaseModel:
    """Hold a gate's parameters against its model.

    Raises:
        ConfigError: There is no such gate, or its parameters do not fit.
    """
    if gate.name not in GATES:
        raise ConfigError(
            f"evaluation.gates: came name {gate.name!r}, wanted one of {sorted(GATES)}"
        )
    return hold(GATES[gate.name].Params, gate.params, f"evaluation.gates {gate.name}")


def judge(gate: Gate, measured: Measured) -> Judgement:
    """Give one gate's judgement."""
    params = params_of(gate)
    return GATES[gate.name].judge(measured, params)
