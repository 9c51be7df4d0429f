"""Who is told of what, and by which way."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args
from urllib.parse import urlsplit

from pydantic import Field, field_validator, model_validator

from ml_tasks.config.section import Section

Event = Literal["failed", "rejected", "alarm", "trigger", "promoted", "rolled_back"]
EVENTS: tuple[Event, ...] = get_args(Event)
Address = Annotated[str, Field(pattern=r"^[^@\s,<>]+@[^@\s,<>]+$", max_length=100)]
Variable = Annotated[str, Field(pattern=r"^[A-Z][A-Z0-9_]*$", max_length=100)]
Connection = Annotated[str, Field(pattern=r"^[\w.-]+$", max_length=100)]


class _Channel(Section):
    on: tuple[Event, ...] = Field(min_length=1, default=EVENTS)
    """Of what it tells; of everything when not given."""

    @model_validator(mode="before")
    @classmethod
    def _on_is_a_word(cls, told: Any) -> Any:
        """YAML 1.1 reads the key `on` as true."""
        if isinstance(told, dict) and True in told and "on" not in told:
            return {"on" if key is True else key: value for key, value in told.items()}
        return told


class Email(_Channel):
    """By an SMTP server."""

    kind: Literal["email"]
    to: tuple[Address, ...] = Field(min_length=1, max_length=20)
    sender: Address | None = None
    """What stands under From; the connection's `from_email` when not given."""
    connection: Connection = "smtp_default"
    """Airflow's connection of type `smtp`: server, login, encryption."""

    @property
    def name(self) -> str:
        """By what what was sent is told apart from what another way sent."""
        return f"email {', '.join(self.to)}"[:255]


class _Posted(_Channel):
    url: str | None = None
    """The address itself, where it is no secret."""
    variable: Variable | None = None
    """Name of the environment variable that holds the address."""
    connection: Connection | None = None
    """Airflow's connection of type `http`: address; its password is sent as a bearer token."""

    @property
    def place(self) -> str:
        """Where it goes, as far as anybody may read that."""
        if self.url is not None:
            return self.url
        return f"variable {self.variable}" if self.variable else f"connection {self.connection}"

    @model_validator(mode="after")
    def _one_address(self) -> _Posted:
        given = [n for n in ("url", "variable", "connection") if getattr(self, n) is not None]
        if len(given) != 1:
            raise ValueError(
                f"came {given or 'no address'}, wanted one of url, variable or connection"
            )
        return self

    @field_validator("url")
    @classmethod
    def _no_secret(cls, url: str | None) -> str | None:
        if url is None:
            return None
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError(f"came {url!r}, wanted http://… or https://…")
        if parts.username or parts.password:
            raise ValueError("came a login in it, wanted the name of a variable or connection")
        if parts.hostname == "hooks.slack.com":
            raise ValueError(
                "came an address of Slack, which is a secret, wanted the name of a variable or "
                "connection"
            )
        return url


class Webhook(_Posted):
    """As JSON, by a POST."""

    kind: Literal["webhook"]

    @property
    def name(self) -> str:
        """By what what was sent is told apart from what another way sent."""
        return f"webhook {self.place}"[:255]


class Slack(_Posted):
    """As an incoming webhook of Slack takes it; Mattermost's and others' do, too."""

    kind: Literal["slack"]

    @property
    def name(self) -> str:
        """By what what was sent is told apart from what another way sent."""
        return f"slack {self.place}"[:255]


Channel = Email | Slack | Webhook


def each_once(channels: tuple[Channel, ...]) -> tuple[Channel, ...]:
    """Refuse two channels of one name: which of them sent something could not be told."""
    names = [channel.name for channel in channels]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"came {twice} twice, wanted each once with all that it tells of")
    return channels
