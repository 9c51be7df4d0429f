"""Large pages for what a process shares with its forks.

A fork copies the table of pages, and at its end gives back each entry: with a page for each 4 kB of
some hundred megabytes both take as long as a short task's work.
"""

from __future__ import annotations

import ctypes
import logging
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

LARGE = 2**21
MADV_COLLAPSE = 25
"""Linux 6.1; an older one refuses, and all stays as it is."""
log = logging.getLogger(__name__)


def collapse() -> int:
    """Move what this process has allocated into large pages where the system can; give how many."""
    if sys.platform != "linux":
        return 0
    advise = ctypes.CDLL(None, use_errno=True).madvise
    advise.argtypes = (ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int)
    starts = [start for low, high in _allocated() for start in range(low, high - LARGE + 1, LARGE)]
    return sum(advise(start, LARGE, MADV_COLLAPSE) == 0 for start in starts)


def _allocated() -> Iterator[tuple[int, int]]:
    """Give the ranges that belong to no file, from the first border of a large page on."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        ends, rights, *_rest, inode = line.split(maxsplit=5)[:5]
        if rights.startswith("rw") and inode == "0":
            low, high = (int(end, 16) for end in ends.split("-"))
            yield -(-low // LARGE) * LARGE, high
