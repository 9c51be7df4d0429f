"""Trains and follows candidates in processes of their own; who is killed goes on where it was."""

from __future__ import annotations

import multiprocessing
import os
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from threading import Thread
from typing import TYPE_CHECKING, Any, TypeVar

from ml_tasks.errors import RejectedError
from perennial.backtesting import candidates, weeks

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence
    from datetime import datetime

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.result import Window
    from perennial.backtesting.candidates import Candidate
    from perennial.backtesting.weeks import Followed

Name = TypeVar("Name")
LOOK_SECONDS = 0.1
_rows: dict[str, weeks.Rows] = {}
"""What this process has read."""


@contextmanager
def pool(processes: int) -> Iterator[ProcessPoolExecutor]:
    """Give processes that begin when they are needed, and end with the block, however that ends."""
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, fresh, initializer=_entered) as made:
        try:
            yield made
        except BaseException:
            made.shutdown(wait=False, cancel_futures=True)
            for child in multiprocessing.active_children():
                child.terminate()
            raise


def spread(
    others: ProcessPoolExecutor, call: Callable[..., Any], told: Mapping[Name, tuple[Any, ...]]
) -> Iterator[tuple[Name, Any]]:
    """Call a function with each of the arguments in other processes; give each answer as it comes.

    Args:
        others: The processes.
        call: A function of a module.
        told: By name, what it is called with.
    """
    asked = {others.submit(call, *arguments): name for name, arguments in told.items()}
    while asked:
        done = [one for one in asked if one.done()]
        for one in done:
            yield asked.pop(one), one.result()
        if not done:
            # A signal that comes within a wait on a lock leaves that lock broken.
            time.sleep(LOOK_SECONDS)


def make(
    environment: Environment, pipeline: Pipeline, end: datetime, seed: int
) -> Candidate | None:
    """Train a candidate; `None` where nothing can be learned from the rows until then."""
    environment.enter()
    try:
        return candidates.make(environment, pipeline, end, seed)
    except RejectedError:
        return None


def follow(
    environment: Environment,
    pipeline: Pipeline,
    candidate: Candidate,
    windows: Sequence[Window],
    until: datetime | None,
) -> Followed:
    """Follow a candidate."""
    environment.enter()
    rows = _rows.setdefault(str(environment.home), weeks.Rows(environment, pipeline))
    return weeks.follow(rows, candidate, windows, until)


def _entered() -> None:
    """End with the process that began this one, however that ends; Feast says once what it says."""
    warnings.filterwarnings("ignore", category=RuntimeWarning, module="feast")
    Thread(target=_with_parent, daemon=True).start()


def _with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
