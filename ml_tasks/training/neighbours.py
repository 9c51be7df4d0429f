"""Sums over the processes of one machine, through memory that they share."""

from __future__ import annotations

import os
import shutil
import socket
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from ml_tasks.errors import BackendError
from ml_tasks.training import ddp

if TYPE_CHECKING:
    from torch import Tensor

MEMORY = Path("/dev/shm")  # noqa: S108 - a folder of its own is made there
TOKEN = b"\0"


class Neighbours:
    """Adds up what each process has, where all of them are on one machine and on CPUs.

    Gloo takes some 3 ms a sum there: the thread that reads its socket turns in circles until it is
    asked for what has come, and on as many cores as processes who would ask waits for a core.
    """

    def __init__(self, own: ddp.Place, length: int, folder: Path) -> None:
        """Join the others.

        Args:
            own: This process among all.
            length: How many numbers are added up at once.
            folder: Reserved by the first process, and empty again afterwards.
        """
        self._rank = own.rank
        # One half is read while the next sum is written into the other.
        size = 2 * own.world_size * length
        memory = torch.from_file(str(folder / "memory"), shared=True, size=size)
        self._halves = memory.view(2, own.world_size, length)
        self._turn = 0
        self._links = _linked(own, folder)

    def add_up(self, values: Tensor) -> None:
        """Put the sum over all processes in place of the values; all processes must call.

        Raises:
            BackendError: Another process is gone.
        """
        half = self._halves[self._turn]
        self._turn = 1 - self._turn
        half[self._rank].copy_(values)
        try:
            for link in self._links:
                link.send(TOKEN)
            gone = not all(link.recv(len(TOKEN)) for link in self._links)
        except OSError as fault:
            raise _gone() from fault
        if gone:
            raise _gone()
        torch.sum(half, dim=0, out=values)

    def close(self) -> None:
        """Leave the others."""
        for link in self._links:
            link.close()


def neighbours(own: ddp.Place, length: int) -> Neighbours | None:
    """Join the others; `None` where there is no room for the memory.

    All processes of the group must call.
    """
    folder = ddp.gathered(own, _reserved(own, length) if own.rank == 0 else None)[0]
    if folder is None:
        return None
    try:
        return Neighbours(own, length, Path(folder))
    finally:
        ddp.meet(own)
        if own.rank == 0:
            shutil.rmtree(folder)


def _reserved(own: ddp.Place, length: int) -> str | None:
    """Make a folder with memory that is sure to be there: a file with holes may have no room."""
    folder = tempfile.mkdtemp(prefix="perennial-", dir=MEMORY if MEMORY.is_dir() else None)
    try:
        with (Path(folder) / "memory").open("wb") as file:
            os.posix_fallocate(
                file.fileno(), 0, 2 * own.world_size * length * torch.float32.itemsize
            )
    except OSError:
        shutil.rmtree(folder)
        return None
    return folder


def _linked(own: ddp.Place, folder: Path) -> list[socket.socket]:
    """Connect each process with each other one."""
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(folder / str(own.rank)))
        door.listen(own.world_size)
        ddp.meet(own)
        links = [socket.socket(socket.AF_UNIX) for _ in range(own.rank)]
        for other, link in enumerate(links):
            link.connect(str(folder / str(other)))
        return [*links, *(door.accept()[0] for _ in range(own.rank + 1, own.world_size))]


def _gone() -> BackendError:
    return BackendError(
        "another process of the training is gone; the next attempt goes on from the last checkpoint"
    )
