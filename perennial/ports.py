"""Finds ports that nobody listens on, and a place for a socket."""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import socket
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from ml_tasks.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

PORTS_TRIED = 200
SOCKET_PATH = 100
"""Characters; systems allow 104 or 108."""


def socket_path(home: Path) -> Path:
    """Say where a home's socket lies: in it, unless its path is too long for that."""
    plain = home / "warm.sock"
    if len(str(plain)) <= SOCKET_PATH:
        return plain
    short = hashlib.sha256(str(home).encode()).hexdigest()[:12]
    return Path(tempfile.gettempdir()) / f"perennial-{short}.sock"


@contextmanager
def chosen_alone() -> Iterator[None]:
    """Let nobody else choose ports on this machine for a block.

    A port that is free when it is looked at is taken only seconds later: two homes that start at
    once would get the same ones.
    """
    user = os.getuid()
    file = Path(tempfile.gettempdir()) / f"perennial-ports-{user}.lock"
    with file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def free_port(preferred: int, host: str = "127.0.0.1") -> int:
    """Give a port of an address that nobody listens on: the preferred one, or the next.

    Raises:
        ConfigError: The address is not this machine's.
        BackendError: None of the next 200 is free.
    """
    for port in range(preferred, preferred + PORTS_TRIED):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((host, port))
            except OSError as fault:
                if fault.errno == errno.EADDRNOTAVAIL or isinstance(fault, socket.gaierror):
                    raise ConfigError(
                        f"PERENNIAL_HOST: came {host}, wanted an address of this machine"
                    ) from fault
                continue
            return port
    raise BackendError(
        f"ports {preferred} to {preferred + PORTS_TRIED - 1} are taken; free one of them"
    )
