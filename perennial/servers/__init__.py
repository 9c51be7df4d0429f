"""The programs of the profile `servers`: Postgres, Redis, and a server of S3's interface."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.errors import ConfigError
from perennial.servers.object_store import ACCESS_KEY, REGION, ObjectStore
from perennial.servers.place import Place, Server, secret
from perennial.servers.postgres import SUPERUSER, Postgres
from perennial.servers.redis_server import Redis

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_tasks.config import Environment

__all__ = ["ACCESS_KEY", "REGION", "SERVERS", "SUPERUSER", "Place", "require", "secret", "wanted"]

SERVERS: dict[str, Server] = {"postgres": Postgres(), "redis": Redis(), "s3": ObjectStore()}


def wanted(environment: Environment) -> tuple[str, ...]:
    """Give the names of the servers that are to be started here."""
    if environment.profile == "embedded":
        return ()
    return tuple(name for name, server in SERVERS.items() if not server.given(environment))


def require(names: Sequence[str]) -> None:
    """Make sure that the programs of servers are there.

    Raises:
        ConfigError: One is not; a line each, with what to install or to give.
    """
    if said := [line for name in names if (line := SERVERS[name].missing())]:
        raise ConfigError("\n".join(said))
