"""Lets a process do once what every task does first, so that it is done sooner."""

from __future__ import annotations

import contextlib
import importlib
import io
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

REFUSED = "rehearsal"
"""A trigger that nobody asked for: `claim` looks for it and refuses."""


def rehearse(*, control: bool) -> None:
    """Run a task that is refused, in a home of its own that is gone afterwards.

    Args:
        control: Whether it opens a control database.
    """
    with tempfile.TemporaryDirectory(prefix="rehearsal-") as home, _at(home), _unheard():
        config = importlib.import_module("ml_tasks.config")
        for pipeline in config.load_good()[0][:1]:
            arguments = ["claim", "--pipeline", pipeline.name, "--run", REFUSED]
            arguments += ["--trigger", REFUSED] if control else []
            result = (Path(home) / "result.json").as_uri()
            importlib.import_module("ml_tasks.__main__").main([*arguments, "--result", result])
            importlib.import_module("ml_tasks.io.circumstances").here(pipeline)


@contextlib.contextmanager
def _at(home: str) -> Iterator[None]:
    """Lead all state into a folder: nothing of a server's is touched."""
    before = dict(os.environ)
    pipelines = before.get("PERENNIAL_PIPELINES")
    for name in [n for n in before if n.startswith("PERENNIAL_")]:
        del os.environ[name]
    os.environ["PERENNIAL_HOME"] = home
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
