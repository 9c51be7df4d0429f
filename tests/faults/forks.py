"""Forks real task processes and kills or stops them at a chosen write.

`python tests/faults/forks.py`: imports what tasks import, then reads one request a line and
answers each with one line. A child becomes the task as its own command line would; before it does,
every call that writes is wrapped, here and not in the product, so that it is counted, written to a
file, and, at the wanted number, does not happen: the process kills or stops itself just before it.
What a task leaves when it dies just after a write is what it leaves just before the next one, and
the last point lies behind the result. Of two objects that are written at once, the other one may
be there, half written or not begun.
"""

from __future__ import annotations

import gc
import importlib
import json
import os
import signal
import sys
import threading
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import states
from ml_launch.imports import AHEAD

from feature_repo import quick_feast
from ml_tasks.io import parquet

if TYPE_CHECKING:
    from collections.abc import Callable

ALSO = ("torch", "torch.distributed", "torch.nn.parallel", "mlflow.onnx", "onnx")
TASKS = (
    *("ingest", "validate", "derive", "materialise", "claim", "assemble", "prove", "train"),
    *("baseline", "evaluate", "judge", "reference", "register", "promote", "record"),
    *("score", "monitor", "decide"),
)
WRITES = ("POST", "PUT", "PATCH", "DELETE")
MANY = 2**8
"""Rows from which on a window is staged as two objects, so that the story's small ones are, too."""


class Points:
    """Counts the writes of this process, and ends or stops it at one of them."""

    def __init__(self, request: dict[str, Any]) -> None:
        self._kill, self._stop = request.get("kill"), request.get("stop")
        self._number, self._seen = 0, 0
        self._alone = threading.Lock()
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND
        self._file = os.open(request["points"], flags, 0o644)

    def __call__(self, name: str, *, counts: bool = True) -> None:
        with self._alone:  # objects are written by more than one thread
            if counts:
                self._number += 1
                os.write(self._file, f"{self._number} {name}\n".encode())
                if self._number == self._kill:
                    os.kill(os.getpid(), signal.SIGKILL)
            if self._stop and self._stop["at"] in name:
                self._seen += 1
                if self._seen == self._stop.get("nth", 1):
                    # By the process's own number another thread would be told, and this one go on.
                    signal.pthread_kill(threading.get_ident(), signal.SIGSTOP)

    def before(
        self, owner: Any, name: str, say: Callable[..., str | None], *, counts: bool = True
    ) -> None:
        """Wrap a function so that it is a point, unless `say` gives no name for the call."""
        original = getattr(owner, name)

        def wrapped(*arguments: Any, **named: Any) -> Any:
            what = say(*arguments, **named)
            if what is not None:
                self(what, counts=counts)
            return original(*arguments, **named)

        setattr(owner, name, wrapped)


def install(points: Points) -> None:
    """Wrap what writes: objects, files of the lake, commits, the online store, MLflow."""
    import requests
    import sqlalchemy as sa
    from pyiceberg.catalog.sql import SqlCatalog
    from pyiceberg.io.pyarrow import PyArrowFile

    from feature_repo.online_store import ForwardSqliteOnlineStore
    from ml_tasks.io import objects
    from ml_tasks.io.control import Control

    points.before(objects, "write_bytes", lambda uri, _data: f"object {uri.rsplit('/', 1)[-1]}")
    points.before(objects, "create_bytes", lambda uri, _data: f"object {uri.rsplit('/', 1)[-1]}")
    points.before(objects, "delete", lambda uri: f"delete {uri.rsplit('/', 1)[-1]}")
    points.before(Path, "replace", lambda draft, _to: f"replace {draft.name.split('.')[1]}")
    points.before(PyArrowFile, "create", lambda file, **_: f"lake file {kind(file.location)}")
    points.before(
        ForwardSqliteOnlineStore,
        "online_write_batch",
        lambda *_a, table, **_n: f"online {table.name}",
    )
    points.before(ForwardSqliteOnlineStore, "update", lambda *_a, **_n: "online tables")
    points.before(requests.Session, "send", lambda _s, request, **_n: tracked(request))
    # Where a process can be stopped while it holds no database: a transaction that waits for a
    # stopped one waits for ever.
    points.before(
        SqlCatalog, "commit_table", lambda *a: f"commit {'.'.join(a[1].name())}", counts=False
    )
    for name in ("promote", "complete", "claim", "finish", "watch", "ask"):
        points.before(Control, name, lambda *_a, _n=name, **_k: f"control {_n}", counts=False)
    dirty: list[str] = []

    @sa.event.listens_for(sa.Engine, "before_cursor_execute")
    def _look(_c: Any, _cursor: Any, statement: str, _p: Any, _x: Any, _many: bool) -> None:
        if statement.split(None, 1)[0].upper() in ("INSERT", "UPDATE", "DELETE", "CREATE"):
            dirty.append(" ".join(statement.split()[:3]))

    def transaction(*_arguments: Any) -> str | None:
        what = dirty[-1] if dirty else None
        dirty.clear()
        return what and f"transaction {what}"

    points.before(sa.engine.default.DefaultDialect, "do_commit", transaction)


def kind(location: str) -> str:
    """Tell data from manifests and metadata."""
    name = location.rsplit("/", 1)[-1]
    if name.endswith(".metadata.json"):
        return "metadata"
    return "data" if name.endswith(".parquet") else "manifest"


def tracked(request: Any) -> str | None:
    """Name a request that changes something at MLflow."""
    path = request.url.split("?")[0].split("/mlflow")[-1]
    asks = any(word in path for word in ("search", "/get", "get-"))
    return None if asks or request.method not in WRITES else f"mlflow {request.method} {path}"


def steps_killed(trainer: Any, at: int | None, told: Path) -> None:
    """Kill this rank before a step of the whole training; tell when a first step ended."""
    import time

    original = trainer._step

    def step(own: Any, runner: Any, train: Any, rows: Any, weights: Any, steps: int) -> float:
        if own.progress.epoch * steps + own.progress.step == at:
            os.kill(os.getpid(), signal.SIGKILL)
        loss: float = original(own, runner, train, rows, weights, steps)
        if not told.exists():
            told.write_text(str(time.time()))
        return loss

    trainer._step = step


def become(request: dict[str, Any]) -> int:
    """Be the task, or answer a question about the state."""
    if "ask" in request:
        answer = getattr(states, request["ask"])(**request["arguments"])
        Path(request["points"]).write_text(json.dumps(answer))
        return 0
    points = Points(request)
    from threadpoolctl import threadpool_limits

    from ml_tasks.__main__ import main

    if "told" in request:
        from ml_tasks.training.loop import Trainer

        steps_killed(Trainer, request["at_step"], Path(request["told"]))
    else:
        install(points)
    sys.argv = ["ml_tasks", *request["argv"]]
    with threadpool_limits(1):
        code = main(request["argv"])
    if "told" not in request:
        points("end")
    return code


def fork(request: dict[str, Any]) -> int:
    """Start a child in a process group of its own."""
    pid = os.fork()
    os.setpgid(pid, pid)  # by both: whoever kills the group finds it
    if pid:
        return pid
    code = 1
    try:
        log = os.open(request["log"], os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o644)
        empty = os.open(os.devnull, os.O_RDONLY)
        for number, source in ((0, empty), (1, log), (2, log)):
            os.dup2(source, number)
        os.environ.update(request["environ"])  # noqa: TID251 - a child's environment
        code = become(request)
    except BaseException:  # noqa: BLE001 - nothing of the server may run on in the child
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def serve() -> None:
    """Answer until nobody asks any more."""
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            _pid, status = os.waitpid(request["wait"], 0)
            answer = os.waitstatus_to_exitcode(status)
        else:
            answer = fork(request)
        print(answer, flush=True)  # noqa: T201 - the answer


if __name__ == "__main__":
    quick_feast.install()
    parquet.MANY = MANY
    modules = (*AHEAD, *ALSO, *(f"ml_tasks.{task}" for task in TASKS), "ml_tasks.training.loop")
    for module in modules:
        importlib.import_module(module)
    gc.collect()
    gc.freeze()
    print("ready", flush=True)  # noqa: T201 - the answer
    serve()
