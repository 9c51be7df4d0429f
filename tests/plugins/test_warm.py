from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from hashlib import sha256
from typing import TYPE_CHECKING

import psutil
import pytest
from ml_launch import large_pages, warm_client

from ml_tasks.config import ROOT
from ml_tasks.result import Result

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

BARE = (
    "import os, sys; sys.path[0] = os.getcwd(); from ml_launch import imports, warm; "
    "imports.AHEAD = (); "
    "imports.DETECTORS = 'not_there'; "
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of our modules."""
    folder = tmp_path / "checkout"
    for name in ("ml_tasks", "feature_repo"):
        shutil.copytree(ROOT / name, folder / name, ignore=shutil.ignore_patterns("__pycache__"))
    return folder


@pytest.fixture
def server(checkout: Path) -> Iterator[psutil.Popen]:
    """A warm launcher of them that knows no others' libraries."""
    address = checkout.parent / "s"
    program = BARE + "warm.main(sys.argv[1:])"
    server = psutil.Popen([sys.executable, "-c", program, str(address)], cwd=checkout)
    try:
        until(lambda: server.poll() is not None or (address.exists() and server.children()))
        yield server
    finally:
        if server.is_running():
            server.kill()
            server.wait()


def until(true: Callable[[], object]) -> None:
    limit = time.monotonic() + 120
    while not true():
        assert time.monotonic() < limit
        time.sleep(0.05)


def asked(checkout: Path) -> tuple[int, str]:
    """Run a task of a pipeline that is not there; give its code and its log."""
    result = (checkout.parent / "result.json").as_uri()
    arguments = ["ingest", "--pipeline", "trains", "--run", "r", "--result", result]
    process = warm_client.connect(checkout.parent / "s", arguments, {"PERENNIAL_HOME": "/tmp"})  # noqa: S108
    assert process is not None
    said = "".join(process.lines)
    return process.wait(), said


@pytest.mark.usefixtures("server")
def test_a_change_of_ours_is_seen_by_the_next_task(checkout: Path) -> None:
    code, said = asked(checkout)
    assert "pipeline 'trains': no file" in said
    file = checkout / "ml_tasks" / "config" / "files.py"
    text = file.read_text()
    file.write_text(text.replace("no file", "not a file"))
    assert "pipeline 'trains': not a file" in asked(checkout)[1]
    file.write_text("this is no Python")
    code, said = asked(checkout)
    assert code == 1
    assert "SyntaxError" in said
    file.write_text(text)
    assert "pipeline 'trains': no file" in asked(checkout)[1]


def test_whoever_waits_for_a_task_and_is_killed_is_replaced(
    checkout: Path, server: psutil.Popen
) -> None:
    for wait_for_its_end in (True, False):
        (waiting,) = server.children()
        waiting.kill()
        if wait_for_its_end:
            until(lambda: waiting not in server.children())  # noqa: B023 - called within the turn
        code, said = asked(checkout)
        # Killed just as it was asked it was the task, and its end is the task's.
        assert code == 78 or (code == -9 and not wait_for_its_end)
        assert ("pipeline 'trains': no file" in said) is (code == 78)
        until(lambda: len(server.children()) == 1)
        assert server.children() != [waiting]


def test_whoever_waits_for_a_task_ends_with_its_launcher(server: psutil.Popen) -> None:
    (waiting,) = server.children()
    server.kill()
    server.wait()
    until(lambda: not waiting.is_running() or waiting.status() == psutil.STATUS_ZOMBIE)
    assert not psutil.pid_exists(waiting.pid) or waiting.status() == psutil.STATUS_ZOMBIE


def test_where_detectors_are_not_installed_all_else_is_imported_ahead(checkout: Path) -> None:
    program = BARE + "imports.import_all(); print('ml_tasks.monitor' in sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=checkout, capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("True\n", "")


@pytest.mark.skipif(sys.platform != "linux", reason="PyTorch has another OpenMP elsewhere")
def test_threads_that_wait_do_not_spin(checkout: Path) -> None:
    """How long they would, says OpenMP itself as it is loaded; its policy is passive by default."""
    program = BARE + "imports.AHEAD = ('torch',); imports.import_all()"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=checkout,
        env={**_without("OMP_WAIT_POLICY"), "OMP_DISPLAY_ENV": "VERBOSE"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "GOMP_SPINCOUNT = '0'" in done.stderr


def _without(name: str) -> dict[str, str]:
    """Give the environment of a child to whom somebody else has not said it already."""
    return {one: told for one, told in os.environ.items() if one != name}  # noqa: TID251


def test_a_task_has_the_threads_that_it_was_given_and_starts_no_more(checkout: Path) -> None:
    program = BARE + (
        "import numpy; from concurrent.futures import ProcessPoolExecutor as Pool\n"
        "import threadpoolctl, psutil, multiprocessing\n"
        "def told(number):\n"
        "    before = psutil.Process().num_threads()\n"
        "    warm._allow(number)\n"
        "    libraries = threadpoolctl.threadpool_info()\n"
        "    may = {one['num_threads'] for one in libraries if one['user_api'] == 'blas'}\n"
        "    return may, psutil.Process().num_threads() - before\n"
        "warm._allow(warm.THREADS)\n"
        "forked = multiprocessing.get_context('fork')\n"
        "for number in (1, 2):\n"
        "    with Pool(1, forked) as pool:\n"
        "        print(*pool.submit(told, number).result())\n"
    )
    # OpenBLAS that may have a single thread has none to start.
    env = _without("OPENBLAS_NUM_THREADS")
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=env, cwd=checkout, capture_output=True, text=True, check=True,
    )  # fmt: skip
    one, two = done.stdout.splitlines()
    assert one == "{1} 0"
    assert two.startswith("{2} ")


def test_a_rehearsal_keeps_to_its_folder_and_says_nothing(tmp_path: Path) -> None:
    home, folder = tmp_path / "home", tmp_path / "rehearsal"
    program = (
        "import os, sys; from pathlib import Path; from ml_launch.rehearsal import rehearse; "
        "before = dict(os.environ); folder = Path(sys.argv[1]); rehearse(folder); "
        "rehearse(folder); print(before == dict(os.environ))"
    )
    told = {
        "PYTHONPATH": f"{ROOT}:{ROOT / 'plugins'}",
        "PERENNIAL_HOME": str(home),
        "PERENNIAL_CONTROL_URL": "postgresql+psycopg://nobody@127.0.0.1:1/nothing",
    }
    argv = [sys.executable, "-c", program, str(folder)]
    done = subprocess.run(argv, env=told, check=True, capture_output=True, text=True)
    assert (done.stdout, done.stderr) == ("True\n", "")
    assert not home.exists()
    left = Result.model_validate_json((folder / "result.json").read_bytes())
    assert left.error is not None
    assert left.error.kind == "NothingToDo"


def test_large_pages_hold_what_the_small_ones_held() -> None:
    held = bytearray(os.urandom(2**23))
    before = sha256(held).digest()
    assert large_pages.collapse() >= 0
    assert sha256(held).digest() == before
