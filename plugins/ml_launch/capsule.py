"""What a failed task leaves: all that is needed to enter it again on a laptop."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict, ValidationError

from ml_tasks.errors import ConfigError
from ml_tasks.io import objects

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_launch.command import Command
    from ml_launch.outcome import Outcome
    from ml_tasks.config import Environment

_SECRET = re.compile(r"(?i)secret|password|token|key|credential")
_LOGIN = re.compile(r"(?<=://)\S*@")
"""Up to the last @: a password may have what else ends it."""
MASK = "***"


class Capsule(BaseModel):
    """One failed attempt."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    task: str
    pipeline: str
    run: str
    attempt: int
    arguments: tuple[str, ...]
    """What followed `python -m ml_tasks`; the inputs' addresses stand among them."""
    processes: int | None
    environment: dict[str, str]
    exit_code: int
    reason: str
    tail: tuple[str, ...]
    curve: tuple[tuple[float, float, float], ...]
    """Second, memory in MB, CPU in percent."""


def write(command: Command, outcome: Outcome, environment: Environment) -> str:
    """Write the capsule of a failed attempt; give its address."""
    capsule = Capsule(
        task=command.task,
        pipeline=command.pipeline,
        run=command.run,
        attempt=command.attempt,
        arguments=command.arguments,
        processes=command.processes,
        environment=masked(environment.variables()),
        exit_code=outcome.code,
        reason=outcome.message,
        tail=outcome.tail,
        curve=tuple((s.second, s.memory_mb, s.cpu_percent) for s in outcome.curve),
    )
    uri = address(environment, command.pipeline, command.run, command.task, command.attempt)
    objects.write_text(uri, capsule.model_dump_json(indent=2))
    return uri


def address(environment: Environment, pipeline: str, run: str, task: str, attempt: int) -> str:
    """Give the address of an attempt's capsule."""
    return f"{environment.objects_root}/capsules/{pipeline}/{run}/{task}-{attempt}.json"


def read(uri: str) -> Capsule:
    """Read a capsule.

    Raises:
        FileNotFoundError: There is nothing at the address.
        ConfigError: What lies there is no capsule.
    """
    try:
        return Capsule.model_validate_json(objects.read_bytes(uri))
    except ValidationError as fault:
        raise ConfigError(f"capsule {uri}: what lies there is no capsule") from fault


def masked(variables: Mapping[str, str]) -> dict[str, str]:
    """Hide what is secret: values by their name, logins in addresses by their place."""
    return {
        name: MASK if _SECRET.search(name) else _LOGIN.sub(f"{MASK}@", value)
        for name, value in variables.items()
    }
