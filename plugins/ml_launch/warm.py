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
import importlib.util
import json
import logging
import os
import selectors
import signal
import socket
import sys
import threading
import traceback
from pathlib import Path
from typing import Any

AHEAD = (
    "polars", "pandas", "pyarrow.parquet", "pyarrow.csv", "duckdb", "ibis", "ibis.backends.duckdb",
    "sqlalchemy", "alembic", "alembic.config", "alembic.command", "pyiceberg.catalog.sql",
    "pyiceberg.table", "pyiceberg.io.pyarrow", "pydantic_settings", "yaml", "jinja2",
    "great_expectations", "great_expectations.expectations", "feast", "feast.repo_operations",
    "feast.on_demand_feature_view", "feast.infra.offline_stores.offline_store",
    "feast.infra.online_stores.sqlite", "feast.infra.passthrough_provider",
    "feast.infra.compute_engines.local.compute", "feast.infra.registry.registry", "holidays",
    "holidays.countries", "psycopg", "redis", "redis.cluster", "hiredis", "mlflow", "onnxruntime",
    "sklearn.ensemble", "sklearn.impute", "sklearn.linear_model", "sklearn.compose",
    "sklearn.metrics",
)  # fmt: skip
OWN = ("ml_tasks", "feature_repo")
HEAD_BYTES = 8
ASK_SECONDS = 5
"""How long a client may take to say what it wants: meanwhile all others wait."""
log = logging.getLogger("ml_launch.warm")


class Server:
    """Forks a child a connection; tells its process id, and its exit code when it has ended."""

    def __init__(self, address: Path, own: dict[str, int]) -> None:
        """Listen on a Unix socket that only this user may use.

        Args:
            address: The socket.
            own: When each file of ours had changed before it was imported.
        """
        self._own = own
        self._selector = selectors.DefaultSelector()
        self._links: dict[int, socket.socket] = {}
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
        self._selector.register(self._listener, selectors.EVENT_READ)
        self._selector.register(self._wake, selectors.EVENT_READ)

    def serve(self) -> None:
        """Answer until the process is ended."""
        while True:
            for key, _events in self._selector.select():
                if key.fileobj is self._listener:
                    self._accept()
                elif key.fileobj is self._wake:
                    with contextlib.suppress(BlockingIOError):
                        self._wake.recv(4096)
                else:
                    self._vanished(key.data)
            self._reap()

    def _accept(self) -> None:
        link, _address = self._listener.accept()
        try:
            request, out = _asked(link)
        except (OSError, ValueError) as fault:
            log.warning("a request was lost: %s", fault)
            link.close()
            return
        pid = os.fork()
        if pid == 0:
            self._child(link, out, request)
        os.close(out)
        self._links[pid] = link
        self._selector.register(link, selectors.EVENT_READ, pid)
        with contextlib.suppress(OSError):
            link.sendall(f"{pid}\n".encode())

    def _child(self, link: socket.socket, out: int, request: dict[str, object]) -> None:
        code = 1
        try:
            os.setsid()
            signal.set_wakeup_fd(-1)
            for number in (signal.SIGCHLD, signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            for other in (link, self._listener, self._wake, self._wakes, *self._links.values()):
                other.close()
            os.dup2(out, 1)
            os.dup2(out, 2)
            os.close(out)
            if _own_files() != self._own:
                _forget_own()
            code = _run(request)
        except SystemExit as ended:
            code = ended.code if isinstance(ended.code, int) else 1
        except BaseException:  # noqa: BLE001 - nothing of the server may run on in the child
            traceback.print_exc()
        finally:
            with contextlib.suppress(OSError):
                sys.stdout.flush()
                sys.stderr.flush()
            os._exit(code)

    def _vanished(self, pid: int) -> None:
        """End a child whose client is gone: nobody waits for its result."""
        link = self._links[pid]
        with contextlib.suppress(OSError):
            if link.recv(1):
                return
        self._selector.unregister(link)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(pid, signal.SIGKILL)

    def _reap(self) -> None:
        while self._links:
            with contextlib.suppress(ChildProcessError):
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid:
                    self._tell(pid, os.waitstatus_to_exitcode(status))
                    continue
            return

    def _tell(self, pid: int, code: int) -> None:
        link = self._links.pop(pid)
        with contextlib.suppress(KeyError):
            self._selector.unregister(link)
        with contextlib.suppress(OSError):
            link.sendall(f"{code}\n".encode())
        link.close()


def _asked(link: socket.socket) -> tuple[dict[str, object], int]:
    """Read what a client asks for, and the file descriptor that its log goes to.

    Raises:
        OSError: It vanished, or took too long.
        ValueError: What came is no request.
    """
    link.settimeout(ASK_SECONDS)
    head, fds, _flags, _from = socket.recv_fds(link, HEAD_BYTES, 1)
    try:
        data = _exactly(link, int.from_bytes(head, "big"))
        request: dict[str, object] = json.loads(data)
        (out,) = fds
    except (OSError, ValueError):
        for fd in fds:
            os.close(fd)
        raise
    link.settimeout(None)
    return request, out


def _exactly(link: socket.socket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        piece = link.recv(65_536)
        if not piece:
            raise ConnectionError("the client vanished before it had asked")
        data += piece
    return data


def _own_files() -> dict[str, int]:
    """Give when each file of ours changed last, in nanoseconds."""
    found = {}
    for name in OWN:
        spec = importlib.util.find_spec(name)
        for folder in (spec and spec.submodule_search_locations) or ():
            for parent, _folders, files in os.walk(folder):
                for file in (os.path.join(parent, f) for f in files if f.endswith(".py")):  # noqa: PTH118
                    found[file] = os.stat(file).st_mtime_ns  # noqa: PTH116
    return found


def _import_own() -> dict[str, int]:
    """Import our tasks that are not torchrun's; a fault in them is for the task to show."""
    found = _own_files()
    try:
        flows = importlib.import_module("ml_tasks.flow").FLOWS.values()
        tasks = {step.task for flow in flows for step in flow if not step.distributed}
        for name in ("__main__", *sorted(tasks)):
            importlib.import_module(f"ml_tasks.{name}")
    except Exception:
        log.exception("our own modules are not imported ahead")
        _forget_own()
    return found


def _forget_own() -> None:
    for name in [n for n in sys.modules if n.partition(".")[0] in OWN]:
        del sys.modules[name]


@functools.cache
def _threads() -> Any:
    """Give what sets the threads of loaded libraries; to look for those takes a while."""
    return importlib.import_module("threadpoolctl").ThreadpoolController()


def _run(request: dict[str, object]) -> int:
    """Become the task: its environment, its folder, its arguments."""
    environ, arguments = request["environ"], request["arguments"]
    assert isinstance(environ, dict)  # noqa: S101 - made by our own client
    assert isinstance(arguments, list)  # noqa: S101
    os.environ.clear()
    os.environ.update(environ)
    os.chdir(str(request["cwd"]))
    sys.argv = ["ml_tasks", *arguments]
    # The libraries that are imported already have read the number of threads from our environment.
    with _threads().limit(limits=int(environ.get("OMP_NUM_THREADS", "1"))):
        code: int = importlib.import_module("ml_tasks.__main__").main(arguments)
    return code


def main(argv: list[str] | None = None) -> int:
    """Import ahead, then serve."""
    (address,) = sys.argv[1:] if argv is None else argv
    logging.basicConfig(level=logging.WARNING)
    log.setLevel(logging.INFO)
    for name in AHEAD:
        importlib.import_module(name)
    own = _import_own()
    _threads()
    # What was imported is never garbage: a child that looked through it would copy every page.
    gc.collect()
    gc.freeze()
    server = Server(Path(address), own)
    log.info("ready at %s with %s thread", address, threading.active_count())
    server.serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
