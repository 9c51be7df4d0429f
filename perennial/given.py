"""The environment that a command was given, and what there is in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import ValidationError

from ml_tasks import config
from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Collection

    from ml_tasks.io.control import Control
    from perennial.services import Services


def environment(profile: str | None = None) -> config.Environment:
    """Read the environment, and what the home remembers.

    Raises:
        ConfigError: A `PERENNIAL_*` variable is wrong; one line a fault.
    """
    from perennial import addresses

    try:
        return addresses.recall(profile)
    except ValidationError as fault:
        raise ConfigError(config.explain_variables(fault)) from fault


def opened() -> tuple[Services, Control]:
    """Give the services of the environment, and its control, brought up to date."""
    from ml_tasks.io.control import Control
    from perennial.services import Services

    services = Services(environment())
    control = Control(services.present.control)
    control.migrate()
    return services, control


def require_product(name: str, given: config.Environment, kept: Collection[object] = ()) -> None:
    """Make sure that there is a product of a name, or something that was kept of one that was.

    Args:
        name: What a person said; empty for all products.
        given: Where YAML files lie.
        kept: What is known of it.

    Raises:
        ConfigError: There is neither; names the products that there are.
    """
    if name and not kept:
        config.require(name, given.pipelines)
