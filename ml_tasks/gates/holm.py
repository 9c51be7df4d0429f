"""P-values of several tests, adjusted so that they can be read one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence


def adjusted(p_values: Sequence[float]) -> list[float]:
    """Give each p-value adjusted for all of them, in their order.

    Who rejects what is at or below alpha rejects anything wrongly with a chance of at most alpha,
    however the tests depend on each other.

    Source: Holm, A Simple Sequentially Rejective Multiple Test Procedure, Scandinavian Journal
    of Statistics 6 (1979).
    """
    found, reached = [1.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        reached = max(reached, min(1.0, (len(p_values) - rank) * p_values[index]))
        found[index] = reached
    return found
