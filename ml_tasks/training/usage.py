"""What the processes of a training use while it runs, epoch by epoch."""

from __future__ import annotations

import importlib
import logging
import time
from dataclasses import dataclass
from statistics import fmean
from typing import TYPE_CHECKING, Protocol

import psutil
import torch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

log = logging.getLogger(__name__)
Row = dict[str, float]
MEGABYTE = 2**20
PAUSE = 1.0
"""Seconds between two samples of a GPU: NVML's own period is that long at most."""
CPU, MEMORY = "system/cpu_percent", "system/memory_mb"
GPU, GPU_MOST, GPU_MEMORY = "system/gpu_percent", "system/gpu_percent_max", "system/gpu_memory_mb"
ACROSS: dict[str, Callable[[Iterable[float]], float]] = {
    CPU: sum,
    MEMORY: sum,
    GPU: fmean,
    GPU_MOST: max,
    GPU_MEMORY: max,
}
"""How the values of several processes, each with its own GPU, become one."""


@dataclass(frozen=True, slots=True)
class Used:
    """What one process used, or all of them together."""

    rows: tuple[Row, ...]
    """One an epoch: `epoch`, and values by the names that MLflow shows as system metrics."""
    cpu_seconds: float
    gpus: int


class Gpu(Protocol):
    """The GPU of a process."""

    count: int

    def sample(self) -> Row:
        """Give what is used now."""
        ...


class NoGpu:
    """A process without a GPU: nothing to sample."""

    count = 0

    def sample(self) -> Row:
        """Give nothing."""
        return {}


class CudaGpu:
    """One GPU: peak of the memory that torch allocated, and utilisation where NVML tells it."""

    count = 1

    def __init__(self, device: torch.device) -> None:
        """Remember the device; nothing is asked yet."""
        self._device, self._faults, self._told = device, _nvml_faults(), False

    def sample(self) -> Row:
        """Give memory, and utilisation; without NVML memory alone, which is said once."""
        found = {GPU_MEMORY: torch.cuda.max_memory_allocated(self._device) / MEGABYTE}
        try:
            found[GPU] = float(torch.cuda.utilization(self._device))
        except self._faults as fault:
            if not self._told:
                log.warning(
                    "utilisation of %s is not recorded: %s; it wants nvidia-ml-py and a driver "
                    "that tells it",
                    self._device,
                    fault,
                )
            self._told = True
        return found


def gpu(device: torch.device) -> Gpu:
    """Give what samples a device."""
    return CudaGpu(device) if device.type == "cuda" else NoGpu()


class Usage:
    """Samples this process; an epoch lasts until the next one's first step."""

    def __init__(self, own_gpu: Gpu, pause: float = PAUSE) -> None:
        """Begin to count CPU time; `pause` is the least time between two samples of the GPU."""
        self._gpu, self._pause = own_gpu, pause
        self._process = psutil.Process()
        self._process.cpu_percent()
        self._epoch: int | None = None
        self._samples: list[Row] = []
        self._next = 0.0
        self._rows: list[Row] = []

    def on_step(self, epoch: int) -> None:
        """Take note of a step."""
        if epoch != self._epoch:
            self._close()
            self._epoch, self._next = epoch, 0.0
        if time.monotonic() >= self._next:
            self._samples.append(self._gpu.sample())
            self._next = time.monotonic() + self._pause

    def finish(self) -> Used:
        """Close the last epoch and give all."""
        self._close()
        self._epoch = None
        spent = self._process.cpu_times()
        return Used(tuple(self._rows), spent.user + spent.system, self._gpu.count)

    def _close(self) -> None:
        if self._epoch is None:
            return
        self._samples.append(self._gpu.sample())
        row = {
            "epoch": self._epoch,
            CPU: self._process.cpu_percent(),
            MEMORY: self._process.memory_info().rss / MEGABYTE,
        }
        if busy := [sample[GPU] for sample in self._samples if GPU in sample]:
            row |= {GPU: fmean(busy), GPU_MOST: max(busy)}
        if held := [sample[GPU_MEMORY] for sample in self._samples if GPU_MEMORY in sample]:
            row[GPU_MEMORY] = max(held)
        self._rows.append(row)
        self._samples = []


def together(parts: Sequence[Used]) -> Used:
    """Make one of what several processes used in the same epochs."""
    rows = []
    for same in zip(*(part.rows for part in parts), strict=True):
        named = [name for name in ACROSS if any(name in row for row in same)]
        joined = {name: ACROSS[name](row[name] for row in same if name in row) for name in named}
        rows.append({"epoch": same[0]["epoch"], **joined})
    return Used(tuple(rows), sum(p.cpu_seconds for p in parts), sum(p.gpus for p in parts))


def summary(used: Used) -> Row:
    """Give the GPUs' utilisation and peak memory over all epochs; nothing without a GPU."""
    over: tuple[tuple[str, str, Callable[[Iterable[float]], float]], ...] = (
        ("gpu_percent_mean", GPU, fmean),
        ("gpu_percent_max", GPU_MOST, max),
        ("gpu_peak_memory_mb", GPU_MEMORY, max),
    )
    return {
        name: make(row[key] for row in used.rows if key in row)
        for name, key, make in over
        if any(key in row for row in used.rows)
    }


def _nvml_faults() -> tuple[type[Exception], ...]:
    """Give what torch raises where utilisation cannot be had; NVML's own error only with NVML."""
    try:
        nvml = importlib.import_module("pynvml")
    except ModuleNotFoundError:
        return (ModuleNotFoundError, RuntimeError)
    return (ModuleNotFoundError, RuntimeError, nvml.NVMLError)
