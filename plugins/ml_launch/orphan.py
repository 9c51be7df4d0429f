"""Lets go of a task whose Airflow is gone: its work is given to another attempt."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

EVERY_SECONDS = 0.5
WHY = "Airflow's supervisor of this task is gone, killed with its scheduler or worker"


@contextmanager
def let_go_with_parent(let_go: Callable[[str], None]) -> Iterator[None]:
    """Let go of a task once the process that started this one is gone.

    Airflow runs an operator as a child of a supervisor, which tells the scheduler that the task
    lives. Killed together with the scheduler, it leaves its child behind, in a group of its own,
    and the task runs again beside the old one.

    Args:
        let_go: Ends the task, or leaves it to the next attempt; it is told why.
    """
    parent, done = os.getppid(), threading.Event()

    def watch() -> None:
        while not done.wait(EVERY_SECONDS):
            if os.getppid() != parent:
                let_go(WHY)
                return

    thread = threading.Thread(target=watch, daemon=True, name=f"watch-parent-{parent}")
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
        # What is told to a supervisor that is gone may break off before the thread looks.
        if os.getppid() != parent:
            let_go(WHY)
