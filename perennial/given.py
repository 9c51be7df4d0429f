"""The environment that a command was given."""

from __future__ import annotations

from pydantic import ValidationError

from ml_tasks import config
from ml_tasks.errors import ConfigError


def environment() -> config.Environment:
    """Read the environment.

    Raises:
        ConfigError: A `PERENNIAL_*` variable is wrong; one line a fault.
    """
    try:
        return config.Environment()
    except ValidationError as fault:
        raise ConfigError(config.explain(fault, "environment PERENNIAL_")) from fault
