"""Where a server of a home works, and what it is asked to do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from perennial import settings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ml_tasks.config import Environment


@dataclass(frozen=True, slots=True)
class Place:
    """Where a server of a home works."""

    home: Path
    host: str
    port: int

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{self.host}:{self.port}"

    def secret(self, name: str) -> str:
        """Give a password of this home, drawn once."""
        return secret(self.home, name)


class Server(Protocol):
    """One program; as root it runs as `user` where it has one."""

    user: str | None

    def given(self, environment: Environment) -> bool:
        """Tell whether a person gave the address of one that runs elsewhere."""

    def missing(self) -> str:
        """Say what to do where the program is not there; empty where it is."""

    def prepare(self, place: Place) -> None:
        """Make what the program needs before it starts."""

    def argv(self, place: Place) -> list[str]:
        """Give its command line, on which no secret stands."""

    def environ(self, place: Place, /) -> Mapping[str, str]:
        """Give what it is told by its environment."""

    def ready(self, place: Place) -> bool:
        """Tell whether it answers."""


def secret(home: Path, name: str) -> str:
    """Give a password of a home, drawn once."""
    return settings.secret(home / "secrets" / name)
