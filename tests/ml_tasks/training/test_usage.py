from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from ml_tasks.training.usage import (
    CPU,
    GPU,
    GPU_MEMORY,
    GPU_MOST,
    MEMORY,
    CudaGpu,
    NoGpu,
    Usage,
    Used,
    gpu,
    summary,
    together,
)

if TYPE_CHECKING:
    from collections.abc import Iterator


class Readings:
    """A GPU that was read before: gives the readings one after the other."""

    count = 1

    def __init__(self, *readings: dict[str, float]) -> None:
        self._left: Iterator[dict[str, float]] = iter(readings)

    def sample(self) -> dict[str, float]:
        return next(self._left)


def test_a_process_on_a_cpu_has_cpu_and_memory_an_epoch() -> None:
    usage = Usage(gpu(torch.device("cpu")))
    for epoch in (3, 3, 4, 5):
        usage.on_step(epoch)
        sum(x * x for x in range(300_000))
    used = usage.finish()
    assert [row["epoch"] for row in used.rows] == [3, 4, 5]
    assert all(set(row) == {"epoch", CPU, MEMORY} for row in used.rows)
    assert all(row[MEMORY] > 10 for row in used.rows)
    assert sum(row[CPU] for row in used.rows) > 0
    assert used.cpu_seconds > 0
    assert used.gpus == 0
    assert summary(used) == {}


def test_without_a_step_there_is_no_epoch() -> None:
    assert Usage(NoGpu()).finish().rows == ()


def test_an_epoch_holds_mean_and_peak_of_its_samples() -> None:
    given = [{GPU: busy, GPU_MEMORY: held} for busy, held in ((10, 1), (30, 5), (50, 3))]
    usage = Usage(Readings(*given), pause=0)
    usage.on_step(0)
    usage.on_step(0)
    (row,) = usage.finish().rows
    assert (row[GPU], row[GPU_MOST], row[GPU_MEMORY]) == (30, 50, 5)


def test_between_two_samples_lies_a_pause_but_each_epoch_has_its_own() -> None:
    """Of many steps the first and the end of an epoch are sampled, and no other."""
    readings = [{GPU: busy, GPU_MEMORY: 1.0} for busy in (10, 20, 60, 80)]
    usage = Usage(Readings(*readings), pause=3600)
    for epoch in (0, 0, 0, 0, 1, 1, 1):
        usage.on_step(epoch)
    assert [row[GPU] for row in usage.finish().rows] == [15, 70]


def test_without_nvml_a_gpu_still_tells_its_memory(caplog: pytest.LogCaptureFixture) -> None:
    if torch.cuda.is_available():
        pytest.skip("this machine's GPU tells its utilisation")
    usage = Usage(CudaGpu(torch.device("cuda", 0)), pause=0)
    usage.on_step(0)
    usage.on_step(0)
    used = usage.finish()
    assert used.rows[0][GPU_MEMORY] == 0
    assert GPU not in used.rows[0]
    assert used.gpus == 1
    (said,) = caplog.messages
    assert "utilisation of cuda:0 is not recorded" in said
    assert "it wants nvidia-ml-py" in said


ONE = {"epoch": 0, CPU: 90, MEMORY: 100, GPU: 40, GPU_MOST: 60, GPU_MEMORY: 10}
TWO = {"epoch": 0, CPU: 80, MEMORY: 120, GPU: 60, GPU_MOST: 95, GPU_MEMORY: 12}
MUTE = {"epoch": 0, CPU: 10, MEMORY: 20, GPU_MEMORY: 30}


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([ONE], ONE),
        (
            [ONE, TWO],
            {"epoch": 0, CPU: 170, MEMORY: 220, GPU: 50, GPU_MOST: 95, GPU_MEMORY: 12},
        ),
        (
            [ONE, MUTE],
            {"epoch": 0, CPU: 100, MEMORY: 120, GPU: 40, GPU_MOST: 60, GPU_MEMORY: 30},
        ),
        ([MUTE, MUTE], {"epoch": 0, CPU: 20, MEMORY: 40, GPU_MEMORY: 30}),
    ],
)
def test_processes_together(rows: list[dict[str, float]], wanted: dict[str, float]) -> None:
    used = together([Used((row,), cpu_seconds=2.5, gpus=1) for row in rows])
    assert used == Used((wanted,), cpu_seconds=2.5 * len(rows), gpus=len(rows))


@pytest.mark.parametrize(
    ("rows", "wanted"),
    [
        ([], {}),
        ([MUTE], {"gpu_peak_memory_mb": 30}),
        (
            [ONE, TWO],
            {"gpu_percent_mean": 50, "gpu_percent_max": 95, "gpu_peak_memory_mb": 12},
        ),
    ],
)
def test_over_all_epochs(rows: list[dict[str, float]], wanted: dict[str, float]) -> None:
    assert summary(Used(tuple(rows), cpu_seconds=0, gpus=1)) == wanted
