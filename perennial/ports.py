"""Finds ports that nobody listens on."""

from __future__ import annotations

import errno
import socket

from ml_tasks.errors import BackendError, ConfigError

PORTS_TRIED = 200


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
