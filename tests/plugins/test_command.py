"""Which command lines ask for the same work."""

from __future__ import annotations

from dataclasses import replace

import pytest
from ml_launch.command import Command, command

from ml_tasks import flow
from ml_tasks.config import Environment


def asked(attempt: int, made: int, processes: int | None = None) -> Command:
    inputs = {"assemble": f"file:///runs/assemble/{made}/result.json"}
    return command(
        Environment(), "p", flow.step("train"), run="r", attempt=attempt,
        window="2013-01-01/2013-02-12", inputs=inputs, processes=processes,
    )  # fmt: skip


@pytest.mark.parametrize("pods", [1, 2])
@pytest.mark.parametrize("processes", [None, 2])
def test_another_attempt_is_the_same_work_and_other_inputs_are_not(
    pods: int, processes: int | None
) -> None:
    first, second = asked(1, 1, processes), asked(2, 1, processes)
    assert second.is_in(first.in_pod(pods, "first", 29500))
    assert not asked(2, 2, processes).is_in(first.in_pod(pods, "first", 29500))
    longer = replace(second, arguments=(*second.arguments, "--trigger", "t"))
    assert not longer.is_in(first.in_pod(pods, "first", 29500))
