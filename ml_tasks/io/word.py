"""What a process says of its attempt: the result, where none that began later has the word."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_tasks.errors import BackendError
from ml_tasks.io import objects
from ml_tasks.io.control import Control

if TYPE_CHECKING:
    from ml_tasks.config import Environment
    from ml_tasks.context import Turn
    from ml_tasks.result import Result

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Word:
    """The right to write an attempt's result, until another process begins on it."""

    control: Control
    turn: Turn


def taken(environment: Environment, task: str, attempt: int) -> Word:
    """Begin on an attempt.

    Args:
        environment: Says where control is.
        task: Pipeline, run and task.
        attempt: Number of the task's try.
    """
    control = Control(environment.control)
    control.migrate()
    return Word(control, control.begin(task, attempt))


def write(uri: str, result: Result, word: Word | None) -> None:
    """Write the result; who never came to have the word says it only where nobody has spoken.

    Raises:
        LeaseLostError: A process that began later has the word.
        BackendError: The store refused.
    """
    if word is None:
        _only_word(uri, result)
        return
    try:
        with word.control.speaking(word.turn):
            # Whoever is stopped here until it has lost the word finds another's result, and leaves
            # it; what an earlier process has left is written over.
            if not objects.create_result(uri, result):
                objects.write_result(uri, result)
    except BackendError as fault:
        log.warning("%s", fault)
        _only_word(uri, result)


def _only_word(uri: str, result: Result) -> None:
    if not objects.create_result(uri, result):
        log.warning("%s: there is a result already, which stays", uri)
