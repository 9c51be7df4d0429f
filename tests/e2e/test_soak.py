"""What the soak draws; with `PERENNIAL_FAULTS=all` some of its runs, on a cluster."""

from __future__ import annotations

import os

import pytest

from tests.e2e import soak
from tests.e2e.faults import COMMANDS
from tests.e2e.place import missing, stop_or_skip

RUNS = 5


@pytest.fixture
def every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in COMMANDS:
        monkeypatch.setenv(f"PERENNIAL_TEST_{name}", "true")


def test_a_seed_and_a_number_draw_the_same_fault_again(every_command: None) -> None:
    faults = [one for number in range(200) for one in soak.drawn(1, number)]
    assert faults == [one for number in range(200) for one in soak.drawn(1, number)]
    assert faults != [one for number in range(200) for one in soak.drawn(2, number)]
    assert {fault.kind for fault in faults} == set(soak.KINDS)
    assert {(fault.flow, fault.task) for fault in faults} == set(soak.TASKS)


def test_of_many_faults_one_takes_a_node(every_command: None) -> None:
    for number in range(200):
        faults = soak.drawn(1, number, 5)
        assert len({(one.flow, one.task) for one in faults}) == 5
        assert sum(soak.KINDS[one.kind].takes_node for one in faults) <= 1


def test_faults_are_drawn_beneath_one_task(every_command: None) -> None:
    beneath = [("training", "train")]
    drawn = [one for number in range(200) for one in soak.drawn(1, number, 1, beneath)]
    assert {(fault.flow, fault.task) for fault in drawn} == set(beneath)
    assert {fault.kind for fault in drawn} == set(soak.KINDS)
    assert set(beneath) < set(soak.TASKS)


def test_faults_are_drawn_among_some_kinds(every_command: None) -> None:
    among = sorted(soak.KINDS)[:3]
    drawn = [one for number in range(100) for one in soak.drawn("c0ffee", number, among=among)]
    assert {fault.kind for fault in drawn} == set(among)


def test_what_cannot_be_ended_from_here_is_not_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in COMMANDS:
        monkeypatch.delenv(f"PERENNIAL_TEST_{name}", raising=False)
    drawn = {one.kind for number in range(200) for one in soak.drawn(1, number)}
    assert drawn == {kind for kind, of in soak.KINDS.items() if not of.wanted}


@pytest.mark.e2e
@pytest.mark.timeout(36_000)
def test_random_faults_change_nothing_in_the_end() -> None:
    if os.environ.get("PERENNIAL_FAULTS") != "all":  # noqa: TID251 - a switch of the tests
        pytest.skip("minutes a run: PERENNIAL_FAULTS=all")
    if said := missing():
        stop_or_skip(said)
    assert soak.main(["--runs", str(RUNS)]) == 0
