"""Lets a process do once what every task does first, so that it is done sooner."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

REFUSED = "rehearsal"
"""A trigger that nobody asked for: `claim` looks for it and refuses."""


def rehearse(home: Path) -> None:
    """Run a task that is refused.

    It must do no more: what starts threads, as polars does where it sorts, would leave children
    that are forked afterwards waiting for threads that they do not have.

    Args:
        home: Holds all that it reads and writes; the next rehearsal finds it made.
    """
    with _at(home), _unheard():
        config = importlib.import_module("ml_tasks.config")
        for pipeline in config.load_good()[0][:1]:
            importlib.import_module("ml_tasks.__main__").main([
                *("claim", "--pipeline", pipeline.name, "--run", REFUSED, "--trigger", REFUSED),
                *("--result", (home / "result.json").as_uri()),
            ])  # fmt: skip
            importlib.import_module("ml_tasks.io.circumstances").here(pipeline)


@contextlib.contextmanager
def _at(home: Path) -> Iterator[None]:
    """Lead all state into a folder: nothing of a server's is touched."""
    before = dict(os.environ)
    pipelines = before.get("PERENNIAL_PIPELINES")
    for name in [n for n in before if n.startswith("PERENNIAL_")]:
        del os.environ[name]
    os.environ["PERENNIAL_HOME"] = str(home)
    if pipelines:
        os.environ["PERENNIAL_PIPELINES"] = pipelines
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextlib.contextmanager
def _unheard() -> Iterator[None]:
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        yield
