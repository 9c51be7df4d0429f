"""Which rank a training waits for, by what all of them say; whole ones hang in test_train.py."""

from __future__ import annotations

import pytest

from ml_tasks.training.board import Words
from ml_tasks.training.watchdog import reason, waited_for


@pytest.mark.parametrize(
    ("met", "silent", "stuck"),
    [
        ((7, 6), set(), [1]),
        ((6, 7, 7), set(), [0]),
        ((7, 7), set(), []),
        # One was stopped within a sum that only some of the others could end.
        ((8, 8, 7), {1}, [1]),
        ((7, -1), {1}, [1]),
        ((7,), set(), []),
    ],
)
def test_who_has_come_to_fewer_sums_or_is_silent_is_waited_for(
    met: tuple[int, ...], silent: set[int], stuck: list[int]
) -> None:
    said = {rank: Words(where=f"step {rank}", met=count) for rank, count in enumerate(met)}
    assert waited_for(said, silent) == stuck
    why = reason(said, stuck, silent, 9)
    named = [rank for rank in said if f"rank {rank} keeps the others waiting" in why]
    assert named == stuck
    assert all(f"it stood at step {rank}" in why for rank in stuck)


def test_where_all_wait_for_each_other_none_is_named() -> None:
    why = reason({rank: Words("epoch 1, step 2", met=3) for rank in (0, 1)}, [], [], 9)
    assert why == (
        "all 2 ranks made no step for 9 s and wait for each other at epoch 1, step 2: look at the "
        "network between them"
    )
