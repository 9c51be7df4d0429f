"""Ways by which people are told: notifiers of Airflow, one a kind of channel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import httpx
from airflow.sdk import BaseNotifier
from airflow.sdk.bases.hook import BaseHook

from ml_alerts.message import as_html, as_json, as_slack, title
from ml_tasks.config import Email, Slack, Webhook, named
from ml_tasks.errors import BackendError, ConfigError, PerennialError

if TYPE_CHECKING:
    from collections.abc import Callable

    from airflow.sdk import Context

    from ml_tasks.config import Channel
    from ml_tasks.io.control import Taken

SECONDS = 20.0


class Post(BaseNotifier):
    """Posts JSON to an address, which may be a secret: no message of a fault names it."""

    def __init__(
        self, channel: Slack | Webhook, body: dict[str, Any], headers: dict[str, str]
    ) -> None:
        """Remember what goes where."""
        super().__init__()
        self.channel, self.body, self.headers = channel, body, headers

    def notify(self, context: Context) -> None:  # noqa: ARG002 - Airflow's signature
        """Send it.

        Raises:
            ConfigError: The address is missing, or none.
            BackendError: Nobody took it.
        """
        url, login = _address(self.channel)
        headers = {**self.headers, **login}
        try:
            # What else it says is not read: it may be long, slow, and repeat what it was sent.
            with httpx.stream(
                "POST", url, json=self.body, headers=headers, timeout=SECONDS
            ) as answer:
                status, taken = answer.status_code, answer.is_success
        except (httpx.HTTPError, httpx.InvalidURL) as fault:
            # Others name the address or a header.
            said = f": {fault}" if isinstance(fault, httpx.NetworkError) else ""
            raise BackendError(
                f"{self.channel.name}: no answer: {type(fault).__name__}{said}"
            ) from None
        if not taken:
            raise BackendError(f"{self.channel.name}: came {status}, wanted a success")


def send(channel: Channel, taken: Taken) -> None:
    """Send what was taken by a channel.

    Raises:
        ConfigError: The channel's variable or connection is missing, or no address.
        BackendError: Nobody took it.
    """
    try:
        notifier = _NOTIFIERS[type(channel)](channel, taken)
        # As it is: to call the notifier would take what others reported for Jinja's templates.
        notifier.notify({})
    except PerennialError:
        raise
    # Whatever it is, the others are to be sent: providers and their drivers raise what they like.
    except Exception as fault:
        raise BackendError(f"{channel.name}: {type(fault).__name__}: {fault}") from fault


def _email(channel: Channel, taken: Taken) -> BaseNotifier:
    from airflow.providers.smtp.notifications.smtp import SmtpNotifier

    assert isinstance(channel, Email)  # noqa: S101 - the table below says so
    made: BaseNotifier = SmtpNotifier(
        to=list(channel.to),
        from_email=channel.sender,
        subject=title(taken.content),
        html_content=as_html(taken.content, unsure=taken.unsure),
        smtp_conn_id=channel.connection,
        # The same again has the same name: mail programs show it once.
        custom_headers={"Message-ID": f"<{taken.id}@perennial>", "X-Perennial": taken.kind},
    )
    return made


def _slack(channel: Channel, taken: Taken) -> BaseNotifier:
    assert isinstance(channel, Slack)  # noqa: S101
    return Post(channel, as_slack(taken.content, unsure=taken.unsure), {})


def _webhook(channel: Channel, taken: Taken) -> BaseNotifier:
    assert isinstance(channel, Webhook)  # noqa: S101
    body = as_json(taken.content, unsure=taken.unsure, identity=taken.id)
    return Post(channel, body, {"Idempotency-Key": taken.id})


_NOTIFIERS: dict[type[Channel], Callable[[Channel, Taken], BaseNotifier]] = {
    Email: _email,
    Slack: _slack,
    Webhook: _webhook,
}


def _address(channel: Slack | Webhook) -> tuple[str, dict[str, str]]:
    """Give where to post, and what proves that we may.

    Raises:
        ConfigError: The variable or connection is missing, or no address.
    """
    login: dict[str, str] = {}
    if channel.url is not None:
        url = channel.url
    elif channel.variable is not None:
        url = named(channel.variable)
    else:
        url, login = _connection(str(channel.connection))
    if urlsplit(url).scheme not in ("http", "https"):
        raise ConfigError(f"{channel.name}: came no address, wanted http://… or https://… in it")
    return url, login


def _connection(name: str) -> tuple[str, dict[str, str]]:
    """Give what Airflow keeps: the address in `host`, as a whole or in parts, and the token."""
    found = BaseHook.get_connection(name)
    url = found.host or ""
    if "://" not in url and url:
        port = f":{found.port}" if found.port else ""
        url = f"{found.schema or 'https'}://{url}{port}"
    word = (found.password or "").strip()
    login = {"Authorization": f"Bearer {word}"} if word else {}
    return url, login
