from __future__ import annotations

import json
import multiprocessing
import socket
import time
from typing import TYPE_CHECKING, Any

import pytest

from ml_tasks.training import neighbours
from ml_tasks.training.ddp import Place
from tests.ml_tasks.training import ranks

if TYPE_CHECKING:
    from pathlib import Path

LIMIT_SECONDS = 200
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([ranks.__name__])


def run(folder: Path, processes: int, here: int) -> list[dict[str, Any]]:
    """Start processes that think that so many of them are on this machine."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    started = [
        FORKS.Process(
            target=ranks.main,
            args=(
                folder,
                {
                    **dict.fromkeys(("RANK", "LOCAL_RANK"), str(rank)),
                    "WORLD_SIZE": str(processes),
                    "LOCAL_WORLD_SIZE": str(here),
                    "MASTER_ADDR": "127.0.0.1",
                    "MASTER_PORT": port,
                },
            ),
            daemon=True,
        )
        for rank in range(processes)
    ]
    limit = time.monotonic() + LIMIT_SECONDS
    for process in started:
        process.start()
    for process in started:
        process.join(max(limit - time.monotonic(), 0))
    for process in started:
        process.kill()
    assert [process.exitcode for process in started] == [0] * processes
    return [json.loads((folder / f"{rank}.json").read_text()) for rank in range(processes)]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    (found,) = run(tmp_path_factory.mktemp("alone"), 1, 1)
    return found


@pytest.fixture(scope="module")
def apart(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run(tmp_path_factory.mktemp("apart"), 3, 1)


@pytest.fixture(scope="module")
def together(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    return run(tmp_path_factory.mktemp("together"), 3, 3)


@pytest.fixture(params=["apart", "together"])
def group(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = request.getfixturevalue(request.param)
    return found


def test_many_processes_learn_what_one_does(
    alone: dict[str, Any], group: list[dict[str, Any]]
) -> None:
    """Without dropout: its numbers are each process's own."""
    _, losses, weights = alone["certain"]
    for found in group:
        assert found["certain"][1] == pytest.approx(losses, rel=1e-5)
        assert found["certain"][2] == pytest.approx(weights, abs=1e-5)


def test_processes_apart_learn_bit_for_bit_what_those_of_one_machine_do(
    apart: list[dict[str, Any]], together: list[dict[str, Any]]
) -> None:
    """Three numbers have more than one sum: both ways add them up in the order of ranks."""
    assert apart[0]["whole"] == together[0]["whole"]


def test_all_processes_have_the_same_weights(group: list[dict[str, Any]]) -> None:
    assert all(found["whole"] == group[0]["whole"] for found in group)


def test_a_term_to_one_process_stops_all_after_the_same_step(group: list[dict[str, Any]]) -> None:
    """The signal comes after step 3: all have heard of it after step 4."""
    for found in group:
        kind, said, *where = found["stopped"]
        assert kind == "BackendError"
        assert "SIGTERM at epoch 1, step 4: a checkpoint is written" in said
        assert where == [1, 4]
        assert found["resumed"] == found["whole"]


def test_a_training_that_diverges_is_refused_by_all(
    alone: dict[str, Any], group: list[dict[str, Any]]
) -> None:
    for found in (alone, *group):
        kind, said, *_ = found["diverged"]
        assert kind == "RejectedError"
        assert "lower training.learning_rate (it is 1e+30)" in said
    assert all(found["diverged"] == group[0]["diverged"] for found in group)


def test_who_is_left_alone_is_told(together: list[dict[str, Any]]) -> None:
    told = "BackendError: another process of the training is gone; the next attempt goes on"
    assert all(found["left"].startswith(told) for found in together[:-1])


def test_without_room_for_the_memory_there_is_none(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(neighbours, "MEMORY", tmp_path)
    assert neighbours._reserved(Place(rank=0, local_rank=0, world_size=2), 10**15) is None
    assert list(tmp_path.iterdir()) == []
