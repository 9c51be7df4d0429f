"""Redis: one that writes down what it is told."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

from perennial import settings

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_tasks.config import Environment
    from perennial.servers.place import Place


class Redis:
    """A server that writes down what it is told."""

    user: str | None = None

    def given(self, environment: Environment) -> bool:
        """Tell whether there is an address."""
        return bool(environment.redis_url)

    def missing(self) -> str:
        """Say what to do where the program is not there; empty where it is."""
        if shutil.which("redis-server"):
            return ""
        return (
            "Redis: no redis-server on the path; apt-get install redis-server, or brew install "
            "redis, or give PERENNIAL_REDIS_URL"
        )

    def prepare(self, place: Place) -> None:
        """Write its settings: a password must not stand on a command line."""
        folder = place.home / "redis"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        settings.keep(
            folder / "redis.conf",
            f"bind {place.host}\nport {place.port}\nrequirepass {place.secret('redis')}\n"
            f'dir "{folder}"\nappendonly yes\nsave ""\n',
        )

    def argv(self, place: Place) -> list[str]:
        """Give the command line."""
        return ["redis-server", str(place.home / "redis" / "redis.conf")]

    def environ(self, _place: Place) -> Mapping[str, str]:
        """Give nothing."""
        return {}

    def ready(self, place: Place) -> bool:
        """Tell whether it answers who knows the password."""
        import redis

        try:
            with redis.Redis(place.host, place.port, password=place.secret("redis")) as client:
                return bool(client.ping())
        except redis.RedisError:
            return False
