"""A process that has the heavy libraries imported and forks a task for whoever asks.

`python -m ml_launch.warm SOCKET`. Feast, Great Expectations and MLflow take seconds to import,
which a chain of short tasks would pay again and again. Our own modules are imported ahead, too;
once a file of theirs has changed, each task imports them anew, so that it sees the change.
"""

from __future__ import annotations

import contextlib
import functools
import gc
import importlib
import logging
import os
import selectors
import signal
import socket
import sys
import threading
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ml_launch import imports, large_pages, ranks, rehearsal
from ml_launch.standby import Standby, received

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

THREADS = 1
"""What a task is given where its YAML asks for no more."""
ASK_SECONDS = 5
"""How long a client may take to say what it wants: meanwhile all others wait."""
log = logging.getLogger("ml_launch.warm")


class Server:
    """Has a child ready for whoever asks; tells its process id, and its exit code at the end."""

    def __init__(self, address: Path, child: Callable[[Iterable[socket.socket]], Standby]) -> None:
        """Listen on a Unix socket that only this user may use.

        Args:
            address: The socket.
            child: Forks one, in which the given sockets are closed.
        """
        self._child = child
        self._selector = selectors.DefaultSelector()
        self._links: dict[int, socket.socket] = {}
        self._lines: dict[int, socket.socket] = {}
        address.parent.mkdir(parents=True, exist_ok=True)
        address.unlink(missing_ok=True)
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(address))
        address.chmod(0o600)
        self._listener.listen(64)
        self._wake, wakes = socket.socketpair()
        wakes.setblocking(False)
        self._wake.setblocking(False)
        signal.set_wakeup_fd(wakes.fileno(), warn_on_full_buffer=False)
        self._wakes = wakes
        signal.signal(signal.SIGCHLD, lambda _number, _frame: None)
        self._selector.register(self._listener, selectors.EVENT_READ, self._accept)
        self._selector.register(self._wake, selectors.EVENT_READ, self._woken)
        self._standby: Standby | None = self._forked()

    def serve(self) -> None:
        """Answer until the process is ended."""
        while True:
            for key, _events in self._selector.select():
                key.data()
            self._reap()

    def _forked(self) -> Standby:
        held = (self._listener, self._wake, self._wakes)
        return self._child((*held, *self._links.values(), *self._lines.values()))

    def _accept(self) -> None:
        link, _address = self._listener.accept()
        try:
            request, out = _asked(link)
        except (OSError, ValueError) as fault:
            log.warning("a request was lost: %s", fault)
            link.close()
            return
        child = self._given(request, out)
        # Whoever held it open would keep the task's log from ending: the next child, for one.
        os.close(out)
        self._links[child.pid], self._lines[child.pid] = link, child.line
        self._selector.register(link, selectors.EVENT_READ, partial(self._vanished, child.pid))
        self._selector.register(child.line, selectors.EVENT_READ, partial(self._said, child))
        with contextlib.suppress(OSError):
            link.sendall(f"{child.pid}\n".encode())
        self._standby = self._forked()

    def _given(self, request: bytes, out: int) -> Standby:
        """Let the one that waits be the task, or another one where it was killed meanwhile."""
        child = self._standby or self._forked()
        try:
            child.give(request, out)
        except OSError:
            child.line.close()
            child = self._forked()
            child.give(request, out)
        return child

    def _woken(self) -> None:
        with contextlib.suppress(BlockingIOError):
            self._wake.recv(4096)

    def _vanished(self, pid: int) -> None:
        """End a child whose client is gone: nobody waits for its result."""
        link = self._links.get(pid)
        if link is None:
            return
        with contextlib.suppress(OSError):
            if link.recv(1):
                return
        self._selector.unregister(link)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    def _said(self, child: Standby) -> None:
        code = child.told()
        self._selector.unregister(child.line)
        self._lines.pop(child.pid).close()
        if code is not None:
            self._tell(child.pid, code)

    def _reap(self) -> None:
        while True:
            try:
                pid, status = os.waitpid(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if not pid:
                return
            if self._standby is not None and self._standby.pid == pid:
                self._standby.line.close()
                self._standby = None
            self._tell(pid, os.waitstatus_to_exitcode(status))

    def _tell(self, pid: int, code: int) -> None:
        link = self._links.pop(pid, None)
        if link is None:
            return
        with contextlib.suppress(KeyError):
            self._selector.unregister(link)
        with contextlib.suppress(OSError):
            link.sendall(f"{code}\n".encode())
        link.close()


def _asked(link: socket.socket) -> tuple[bytes, int]:
    """Read what a client asks for, and the file descriptor that its log goes to.

    Raises:
        OSError: It vanished, or took too long.
        ValueError: What came is no request.
    """
    link.settimeout(ASK_SECONDS)
    request, out = received(link)
    link.settimeout(None)
    return request, out


def _rehearse(home: Path) -> None:
    """Do what a task does first; a fault in that is for the task to show."""
    try:
        rehearsal.rehearse(home)
    except Exception:
        log.exception("no task is rehearsed")


@functools.cache
def _threads() -> Any:
    """Give what sets the threads of loaded libraries; to look for those takes a while."""
    return importlib.import_module("threadpoolctl").ThreadpoolController()


def _allow(threads: int) -> None:
    """Let each loaded library have so many threads; OpenMP's, where this thread calls them.

    One that has them already is not asked: OpenBLAS starts all that it may ever have once it is,
    and each of them spins for a while.
    """
    for library in _threads().lib_controllers:
        if library.num_threads != threads:
            library.set_num_threads(threads)


def _run(own: dict[str, int], request: dict[str, Any]) -> int:
    """Become the task: its environment, its folder, its arguments.

    Args:
        own: When each file of ours had changed before it was imported.
        request: What the client asks for.
    """
    if imports.own_files() != own:
        imports.forget_own()
    environ: dict[str, str] = request["environ"]
    arguments: list[str] = request["arguments"]
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(request["cwd"])
    sys.argv = ["ml_tasks", *arguments]
    # The libraries that are imported already have read the number of threads from our environment.
    _allow(int(environ.get("OMP_NUM_THREADS", THREADS)))
    main: Callable[[list[str]], int] = importlib.import_module("ml_tasks.__main__").main
    processes: int | None = request["processes"]
    return main(arguments) if processes is None else ranks.run(processes, arguments)


def main(argv: list[str] | None = None) -> int:
    """Import ahead, then serve."""
    (given,) = sys.argv[1:] if argv is None else argv
    address = Path(given).absolute()
    ready = partial(_rehearse, address.with_suffix(".rehearsal"))
    own = imports.import_all()
    _allow(THREADS)
    ready()
    # A rehearsal says what it has to say to nobody.
    logging.basicConfig(level=logging.WARNING, force=True)
    log.setLevel(logging.INFO)
    # What was imported is never garbage: a child that looked through it would copy every page.
    gc.collect()
    gc.freeze()
    large_pages.collapse()
    server = Server(address, partial(Standby, ready=ready, run=partial(_run, own)))
    log.info("ready at %s with %s thread", address, threading.active_count())
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
