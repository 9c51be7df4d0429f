"""One small error class a cause; the exit code stands on the class."""

from __future__ import annotations

from enum import IntEnum
from typing import ClassVar


class ExitCode(IntEnum):
    """What a task's process tells whoever launched it."""

    OK = 0
    CRASH = 1
    """A fault of the code: the launcher retries it, the capsule shows it."""
    REJECTED = 65
    """The data or the model was refused: another try would refuse it again."""
    RETRY = 75
    """Something outside was away: try again later."""
    CONFIG = 78
    """The configuration is wrong: a person must mend it."""
    SKIP = 99
    """There is nothing to do."""


class PerennialError(Exception):
    """Base of all errors that are not a fault of the code."""

    exit_code: ClassVar[ExitCode] = ExitCode.CRASH


class ConfigError(PerennialError):
    """A YAML file, an environment variable or a parameter is wrong."""

    exit_code = ExitCode.CONFIG


class RejectedError(PerennialError):
    """Data or a model did not pass; nothing was published."""

    exit_code = ExitCode.REJECTED


class SourceError(RejectedError):
    """A source delivered nothing for a window."""


class BackendError(PerennialError):
    """A store, server or database did not answer; a later try may succeed."""

    exit_code = ExitCode.RETRY


class StuckError(BackendError):
    """A process of a training made no more progress; the next attempt resumes."""


class LeaseHeldError(BackendError):
    """Another run holds what this task wants to publish."""


class LeaseLostError(RejectedError):
    """A newer attempt took this task's lease; this attempt changed nothing."""


class PromotionLostError(RejectedError):
    """Another version became champion since the verdict was reached."""


class NothingToDo(PerennialError):
    """The work was done before, or belongs to somebody else."""

    exit_code = ExitCode.SKIP


class LimitError(NothingToDo):
    """A limit is in the way of a training that policies want."""


class NotPassedError(NothingToDo):
    """The gates were held against the candidate and it did not pass: the champion stays."""
