"""Stores that do not do what they are asked for: full, read-only, locked."""

from __future__ import annotations

import gc
import os
import shutil
import subprocess
import sys
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from ml_tasks.__main__ import main
from ml_tasks.io import database

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from conftest import Product, Row

WEEKS = ("2024-03-01/2024-03-16", "2024-03-16/2024-03-31")
HOLD = """\
import sqlite3, sys
held = sqlite3.connect(sys.argv[1])
held.execute("BEGIN EXCLUSIVE")
print("held", flush=True)
sys.stdin.read()
"""


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A small disk of its own where the product's state lies; root alone can have one."""
    folder = tmp_path / "home"
    folder.mkdir()
    if os.geteuid() != 0:
        pytest.skip("not root: no disk can be mounted")
    mount = ["mount", "-t", "tmpfs", "-o", "size=16m", "none", str(folder)]
    if (done := subprocess.run(mount, capture_output=True, text=True, check=False)).returncode:
        pytest.skip(f"no disk can be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def full(disk: Path, leave: int) -> Iterator[None]:
    """Leave so many bytes free for the length of a block."""
    ballast = disk / "ballast"
    ballast.write_bytes(b"x" * (shutil.disk_usage(disk).free - leave))
    yield
    ballast.unlink()


@contextmanager
def read_only(disk: Path, _leave: int = 0) -> Iterator[None]:
    """Nothing can be written for the length of a block; root is stopped as well."""
    gc.collect()  # a file that is open for writing would be in the way
    subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
    yield
    subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)


@contextmanager
def locked(file: Path) -> Iterator[None]:
    """Another process writes to a database for the length of a block."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == b"held\n"
    yield
    holder.communicate()


def fails(product: Product, capsys: pytest.CaptureFixture[str], task: str, **told: str) -> str:
    """Run a task that is to be tried again later; give what the user reads."""
    arguments, _ = product.arguments(task, **told)  # type: ignore[arg-type]
    capsys.readouterr()
    assert main(arguments) == 75
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


@pytest.mark.parametrize(
    ("hinder", "leave", "words"),
    [
        (full, 0, ("No space left on device; make room", "disk is full; make room")),
        (full, 24 * 1024, ("No space left on device; make room", "disk is full; make room")),
        (read_only, 0, ("let this user write there",
                        "readonly database; let this user write there")),
    ],
    ids=["full", "nearly full", "read-only"],
)  # fmt: skip
def test_a_disk_that_takes_nothing(
    hinder: Callable[..., Iterator[None]], leave: int, words: tuple[str, str], disk: Path,
    product: Product, parcels: list[Row], capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """Each task says so and is tried again; what was there stays, and then all comes in."""
    product.deliver(parcels)
    product.ingestion(run="first", window=WEEKS[0])
    snapshot = product.lake.snapshot("raw.parcels")
    failed = []
    for task in ("ingest", "validate", "materialise"):
        arguments, uri = product.arguments(task, run="second", window=WEEKS[1])
        capsys.readouterr()
        with hinder(disk, leave):
            code = main(arguments)
            said = capsys.readouterr().err
        assert "Traceback" not in said
        if code == 0:
            product.results[task] = uri
        else:
            assert code == 75, said
            assert any(word in said for word in words), said
            failed.append(task)
            assert product.lake.read("raw.parcels", snapshot=snapshot).num_rows == 600
            assert product.published() in (600, 1200), "a window is out whole or not at all"
            product.all_of([task], run="second", window=WEEKS[1], attempt=2)
        if task == "validate":
            product.all_of(["derive"], run="second", window=WEEKS[1])
    assert "validate" in failed
    assert product.published() == len(parcels)
    assert [w.run for w in product.control.windows("parcels")] == ["first", "second"]
    assert product.control.verify_audit() is None


@pytest.mark.parametrize("hinder", [full, read_only], ids=["full", "read-only"])
def test_a_set_and_a_model_on_a_disk_that_takes_nothing(
    hinder: Callable[..., Iterator[None]], disk: Path, product: Product, parcels: list[Row],
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    product.bring_in(parcels)
    trigger = product.ask()
    for task in ("claim", "assemble", "prove", "train", "baseline", "evaluate", "judge"):
        with hinder(disk, 0):
            said = fails(product, capsys, task, trigger=trigger)
        assert "make room on its disk" in said or "let this user write there" in said
        assert "model.onnx" not in product.left("train") or task != "train"
        done = product.all_of([task], trigger=trigger, attempt=2)
    assert done["judge"].values["passed"] is True
    assert product.control.trigger(trigger).run == "r"


@pytest.mark.parametrize(
    ("file", "tasks", "said"),
    [
        ("control.db", ("ingest", "validate", "derive", "materialise", "claim"),
         "control.db: database is locked; another process writes to it: wait for it, or end it"),
        ("catalog.db", ("ingest", "validate"),
         "lake's catalog: database is locked; another process writes to it: wait for it, or end"),
    ],
)  # fmt: skip
def test_a_database_that_another_process_holds(
    file: str, tasks: tuple[str, ...], said: str, product: Product, parcels: list[Row],
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.5)
    product.deliver(parcels)
    product.ingestion(run="first", window=WEEKS[0])
    trigger = product.ask("second")
    for task in tasks:
        told = {"run": "second", "window": WEEKS[1], "trigger": trigger}
        with locked(product.environment.home / file):
            assert said in fails(product, capsys, task, **told)
        assert product.published() == (1200 if task in ("derive", "materialise", "claim") else 600)
        product.all_of([task], attempt=2, **told)
    assert product.published() == 1200
