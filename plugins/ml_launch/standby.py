"""A fork that waits for its task: to make one takes longer than to tell it what to do."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import socket
import sys
import traceback
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

HEAD_BYTES = 8


class Standby:
    """A child of the warm launcher, before and while it is a task."""

    def __init__(
        self,
        close: Iterable[socket.socket],
        ready: Callable[[], None],
        run: Callable[[dict[str, Any]], int],
    ) -> None:
        """Fork; the child does not return.

        Args:
            close: What the launcher holds open and the child must not.
            ready: What the child does before it is asked.
            run: Becomes the task; gives its exit code.
        """
        self.line, far = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            _live(far, (self.line, *close), ready, run)
        far.close()

    def give(self, request: bytes, out: int) -> None:
        """Hand over what is asked for, and the file descriptor that its log goes to.

        Raises:
            OSError: The child is gone.
        """
        socket.send_fds(self.line, [len(request).to_bytes(HEAD_BYTES, "big")], [out])
        self.line.sendall(request)

    def told(self) -> int | None:
        """Read its exit code; `None` where it ended without a word, by a signal."""
        with contextlib.suppress(OSError):
            text = self.line.recv(HEAD_BYTES)
            return int(text) if text else None
        return None


def received(link: socket.socket) -> tuple[bytes, int]:
    """Read a request, and the file descriptor that comes with it.

    Raises:
        OSError: Who asks vanished, or took too long.
        ValueError: What came is no request.
    """
    head, fds, _flags, _from = socket.recv_fds(link, HEAD_BYTES, 1)
    try:
        data = _exactly(link, int.from_bytes(head, "big"))
        (out,) = fds
    except (OSError, ValueError):
        for fd in fds:
            os.close(fd)
        raise
    return data, out


def _exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = link.recv(min(65_536, size - len(data)))
        if not piece:
            raise ConnectionError("the client vanished before it had asked")
        data += piece
    return data


def _live(
    line: socket.socket,
    close: Iterable[socket.socket],
    ready: Callable[[], None],
    run: Callable[[dict[str, Any]], int],
) -> NoReturn:
    code = 1
    try:
        os.setsid()
        signal.set_wakeup_fd(-1)
        for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
            signal.signal(number, signal.SIG_DFL)
        for other in close:
            other.close()
        ready()
        code = run(_taken(line))
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else 1
    except BaseException:  # noqa: BLE001 - nothing of the launcher may run on in the child
        traceback.print_exc()
    finally:
        _leave(line, code)


def _taken(line: socket.socket) -> dict[str, Any]:
    """Wait for the request; from then on what is said goes to its log."""
    try:
        data, out = received(line)
    except (OSError, ValueError):
        os._exit(0)  # the launcher is gone, and with it whoever could ask
    os.dup2(out, 1)
    os.dup2(out, 2)
    os.close(out)
    request: dict[str, Any] = json.loads(data)
    return request


def _leave(line: socket.socket, code: int) -> NoReturn:
    """End, and say so first: to give all that memory back takes longer than what follows on it."""
    try:
        with contextlib.suppress(OSError):
            sys.stdout.flush()
            sys.stderr.flush()
        with contextlib.suppress(OSError):
            nowhere = os.open(os.devnull, os.O_WRONLY)
            os.dup2(nowhere, 1)
            os.dup2(nowhere, 2)
            line.sendall(str(code).encode())
    finally:  # whatever a handler of the task's raises: what comes after it is the launcher's
        os._exit(code)
