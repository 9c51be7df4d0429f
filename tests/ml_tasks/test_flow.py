from __future__ import annotations

import pytest

from ml_tasks.flow import FLOWS, Step, after, step, task_names


@pytest.mark.parametrize("flow", FLOWS.values(), ids=FLOWS.keys())
def test_needs_come_before(flow: tuple[Step, ...]) -> None:
    seen: set[str] = set()
    for one in flow:
        assert set(one.needs) <= seen, one.task
        seen.add(one.task)
        assert one.doc


def test_each_flow_ends_with_its_record() -> None:
    assert all(flow[-1].task == "record" and flow[-1].teardown for flow in FLOWS.values())


def test_step_by_name() -> None:
    assert step("train").distributed
    assert "record" in task_names()
    with pytest.raises(KeyError):
        step("fly")


def test_each_task_comes_after_the_last_of_what_it_needs() -> None:
    assert after("training") == {
        "claim": (),
        "assemble": ("claim",),
        "prove": ("assemble",),
        "train": ("assemble",),
        "baseline": ("assemble",),
        "evaluate": ("prove", "train", "baseline"),
        "judge": ("evaluate",),
        "reference": ("judge",),
        "register": ("reference",),
        "promote": ("register",),
        "record": ("prove", "train", "baseline", "promote"),
    }
    assert after("ingestion")["record"] == ("materialise",)
    assert after("monitoring")["decide"] == ("monitor",)
