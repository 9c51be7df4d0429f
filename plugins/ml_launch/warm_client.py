"""Asks the warm launcher for a process."""

from __future__ import annotations

import json
import logging
import os
import socket
from pathlib import Path
from typing import IO, TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


log = logging.getLogger(__name__)
CONNECT_SECONDS = 5
FORK_SECONDS = 60


class WarmProcess:
    """A process that the warm launcher forked."""

    def __init__(self, pid: int, lines: IO[str], reply: IO[str], link: socket.socket) -> None:
        """Hold the ends of its log and of the connection; closing the latter ends it."""
        self.pid, self.lines, self._reply, self._link = pid, lines, reply, link

    def wait(self) -> int:
        """Give its exit code; negative for a signal, as `subprocess` does."""
        text = self._reply.readline()
        self.lines.close()
        self._reply.close()
        self._link.close()
        return int(text) if text else 1


def connect(
    address: Path,
    arguments: Sequence[str],
    environ: Mapping[str, str],
    processes: int | None = None,
) -> WarmProcess | None:
    """Ask for a process; `None` where there is no warm launcher to ask.

    Args:
        address: The launcher's socket.
        arguments: What follows `python -m ml_tasks`.
        environ: The whole environment.
        processes: How many ranks it has; `None` for a task without.
    """
    link = socket.socket(socket.AF_UNIX)
    link.settimeout(CONNECT_SECONDS)
    try:
        link.connect(str(address))
    except OSError as fault:
        link.close()
        log.info("no warm launcher at %s (%s): starting a fresh process", address, fault)
        return None
    read, write = os.pipe()
    request = {
        "arguments": list(arguments),
        "environ": dict(environ),
        "cwd": str(Path.cwd()),
        "processes": processes,
    }
    data = json.dumps(request).encode()
    try:
        socket.send_fds(link, [len(data).to_bytes(8, "big")], [write])
        link.sendall(data)
        link.settimeout(FORK_SECONDS)
        reply = link.makefile("r")
        pid = reply.readline()
        link.settimeout(None)
    except OSError as fault:
        log.info("the warm launcher did not answer (%s): starting a fresh process", fault)
        pid = ""
    finally:
        os.close(write)
    if not pid:
        os.close(read)
        link.close()
        return None
    return WarmProcess(int(pid), os.fdopen(read, errors="replace"), reply, link)
