from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

RANKS = Path(__file__).with_name("ranks.py")


def run(folder: Path, processes: int) -> list[dict[str, Any]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    started = [
        subprocess.Popen(
            [sys.executable, str(RANKS), str(folder)],
            env={
                **os.environ,  # noqa: TID251 - a child's environment
                **dict.fromkeys(("RANK", "LOCAL_RANK"), str(rank)),
                "WORLD_SIZE": str(processes),
                "MASTER_ADDR": "127.0.0.1",
                "MASTER_PORT": port,
            },
            stdout=subprocess.PIPE,
            text=True,
        )
        for rank in range(processes)
    ]
    said = [process.communicate(timeout=200)[0] for process in started]
    assert [process.returncode for process in started] == [0] * processes
    return [json.loads(one) for one in said]


@pytest.fixture(scope="module")
def alone(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    (found,) = run(tmp_path_factory.mktemp("alone"), 1)
    return found


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], dict[str, Any]]:
    first, second = run(tmp_path_factory.mktemp("both"), 2)
    return first, second


def test_two_processes_learn_what_one_does(alone: dict[str, Any], both: tuple[Any, Any]) -> None:
    """Without dropout: its numbers are each process's own."""
    _, losses, weights = alone["certain"]
    for found in both:
        assert found["certain"][1] == pytest.approx(losses, rel=1e-5)
        assert found["certain"][2] == pytest.approx(weights, abs=1e-5)


def test_all_processes_have_the_same_weights(both: tuple[Any, Any]) -> None:
    first, second = both
    assert first["whole"] == second["whole"]


def test_a_term_to_one_process_stops_all_after_the_same_step(both: tuple[Any, Any]) -> None:
    """The signal comes after step 3: all have heard of it after step 4."""
    for found in both:
        kind, said, *where = found["stopped"]
        assert kind == "BackendError"
        assert "SIGTERM at epoch 1, step 4: a checkpoint is written" in said
        assert where == [1, 4]
        assert found["resumed"] == found["whole"]


def test_a_training_that_diverges_is_refused_by_all(
    alone: dict[str, Any], both: tuple[Any, Any]
) -> None:
    first, second = both
    assert first["diverged"] == second["diverged"]
    for found in (alone, first):
        kind, said, *_ = found["diverged"]
        assert kind == "RejectedError"
        assert "lower training.learning_rate (it is 1e+30)" in said
