"""The environment that a command was given."""

from __future__ import annotations

from pydantic import ValidationError

from ml_tasks import config
from ml_tasks.errors import ConfigError


def environment(profile: str | None = None) -> config.Environment:
    """Read the environment, and what the home remembers.

    Raises:
        ConfigError: A `PERENNIAL_*` variable is wrong; one line a fault.
    """
    from perennial import addresses

    try:
        return addresses.recall(profile)
    except ValidationError as fault:
        raise ConfigError(config.explain(fault, "environment PERENNIAL_")) from fault
