"""What people are told, by a real SMTP server and a real HTTP server."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import pytest
from ml_alerts.delivery import deliver, tell
from ml_alerts.message import Message

from ml_tasks.io.outbox import TRIES
from ml_tasks.io.schema import sent
from tests.conftest import _free_port
from tests.plugins.alerts.conftest import NAME
from tests.plugins.alerts.receivers import Mailbox, Receiver, serving

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml_tasks.config import Pipeline
    from ml_tasks.io.control import Control

HOSTILE = "{{ 7 * 7 }} <script> & ünï\r\nBcc: x@y.example"
MESSAGE = Message(
    kind="alarm",
    key="version 1 2013-01-05",
    pipeline=NAME,
    subject=f"ks moved {HOSTILE}",
    cause="beyond the budget",
    evidence={"estimated loss": "0.01", "summary": HOSTILE},
    links={"Airflow": "http://127.0.0.1/dags?a=1&b=2"},
    runbook="docs/runbook.md#an-alarm-pages",
)


@pytest.fixture
def start() -> Iterator[Callable[[Any], Any]]:
    with ExitStack() as stack:
        yield lambda server: stack.enter_context(serving(server))


@pytest.fixture
def mailbox(start: Callable[[Any], Any], monkeypatch: pytest.MonkeyPatch) -> Mailbox:
    box: Mailbox = start(Mailbox())
    connection = {
        "conn_type": "smtp",
        "host": "127.0.0.1",
        "port": box.server_address[1],
        "extra": {"disable_ssl": True, "disable_tls": True, "from_email": "us@here.example"},
    }
    monkeypatch.setenv("AIRFLOW_CONN_POST_OFFICE", json.dumps(connection))
    return box


@pytest.fixture
def receiver(start: Callable[[Any], Any]) -> Receiver:
    made: Receiver = start(Receiver())
    return made


def by_mail(**more: Any) -> dict[str, Any]:
    return {
        "kind": "email",
        "to": ["a@there.example", "b@there.example"],
        "connection": "post_office",
        **more,
    }


def let_time_pass(control: Control) -> None:
    with control.transaction() as tx:
        tx.execute(sent.update().values(not_before=0.0))


def test_an_email_says_it_once_to_all(
    product: Callable[..., Pipeline], control: Control, mailbox: Mailbox
) -> None:
    found = product(alerts=[by_mail()])
    assert [tell(found, [MESSAGE, MESSAGE]), tell(found, [MESSAGE])] == [(1, []), (0, [])]
    ((to, came),) = mailbox.came
    assert to == ["a@there.example", "b@there.example"]
    assert (came["From"], came["Bcc"]) == ("us@here.example", None)
    assert came["Subject"].startswith(f"[perennial] {NAME}: ks moved {{{{ 7 * 7 }}}} <script>")
    assert came["Message-ID"] == f"<{control.sent(NAME)[0].id}@perennial>"
    (body,) = [part.get_content() for part in came.walk() if not part.is_multipart()]
    assert "{{ 7 * 7 }} &lt;script&gt; &amp; ünï" in body
    assert '<a href="http://127.0.0.1/dags?a=1&amp;b=2">' in body
    assert "docs/runbook.md#an-alarm-pages" in body


def test_webhook_and_slack_get_it_by_variable_connection_and_address(
    product: Callable[..., Pipeline],
    control: Control,
    receiver: Receiver,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("TEAM_CHAT", f"{receiver.url}/chat")
    connection = {"conn_type": "http", "host": f"{receiver.url}/token", "password": "s3cret"}
    monkeypatch.setenv("AIRFLOW_CONN_PAGER", json.dumps(connection))
    found = product(
        alerts=[
            {"kind": "slack", "variable": "TEAM_CHAT", "on": ["alarm"]},
            {"kind": "webhook", "connection": "pager"},
            {"kind": "webhook", "url": receiver.url, "on": ["failed", "promoted"]},
        ]
    )
    assert tell(found, [MESSAGE]) == (2, [])
    came = {path: (headers, body) for path, headers, body in receiver.came}
    assert came["/hook/chat"][1]["text"].startswith(f"*[perennial] {NAME}: ks moved")
    assert "&lt;script&gt; &amp; ün" in came["/hook/chat"][1]["text"]
    headers, body = came["/hook/token"]
    assert headers["Authorization"] == "Bearer s3cret"
    assert headers["Idempotency-Key"] == body["id"]
    assert (body["version"], body["kind"], body["may_come_twice"]) == (1, "alarm", False)
    assert body["evidence"] == MESSAGE.evidence
    assert {one.channel for one in control.sent(NAME)} == {
        "slack variable TEAM_CHAT", "webhook connection pager",
    }  # fmt: skip


def test_what_nobody_takes_waits_and_is_sent_later(
    product: Callable[..., Pipeline], control: Control, start: Callable[[Any], Any]
) -> None:
    port = _free_port()
    url = f"http://127.0.0.1:{port}/hook"
    found = product(alerts=[{"kind": "webhook", "url": url}])
    number, (fault,) = tell(found, [MESSAGE])
    assert (number, "no answer: ConnectError" in fault) == (0, True)
    assert deliver(control, found) == (0, []), "it is not due yet"
    server = start(Receiver(port))
    server.status = 503
    let_time_pass(control)
    assert deliver(control, found)[1] == [f"webhook {url}: came 503, wanted a success"]
    server.status = 200
    let_time_pass(control)
    assert deliver(control, found) == (1, [])
    assert [body["may_come_twice"] for _path, _headers, body in server.came] == [False]
    assert control.sent(NAME)[0].tries == 3


def test_secrets_are_named_in_no_fault(
    product: Callable[..., Pipeline], control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TEAM_CHAT", f"http://127.0.0.1:{_free_port()}/T0/s3cret")
    monkeypatch.setenv("NO_ADDRESS", "s3cret")
    channels = [
        {"kind": "slack", "variable": name} for name in ("TEAM_CHAT", "NO_ADDRESS", "UNSET")
    ]
    found = product(alerts=[*channels, by_mail(connection="nosuch")])
    number, faults = tell(found, [MESSAGE])
    assert (number, len(faults)) == (0, 4)
    told = "\n".join(faults)
    assert "s3cret" not in told
    assert told.count("came no address, wanted http://") == 2
    assert "SMTP connection is not found" in told
    assert "s3cret" not in str([(one.fault, one.channel) for one in control.sent(NAME)])


def test_what_a_receiver_repeats_of_a_secret_is_not_kept(
    product: Callable[..., Pipeline],
    control: Control,
    start: Callable[[Any], Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    port = _free_port()
    monkeypatch.setenv("AIRFLOW_CONN_CHAT", f"http://:s3cret%0A@127.0.0.1:{port}/http")
    server = start(Receiver(port))
    server.status = 404
    found = product(alerts=[{"kind": "webhook", "connection": "chat"}])
    assert tell(found, [MESSAGE])[1] == ["webhook connection chat: came 404, wanted a success"]
    ((_path, headers, _body),) = server.refused
    assert headers["Authorization"] == "Bearer s3cret"


def test_two_at_once_send_one_and_who_died_is_followed(
    product: Callable[..., Pipeline], control: Control, receiver: Receiver
) -> None:
    found = product(alerts=[{"kind": "webhook", "url": receiver.url}])
    with ThreadPoolExecutor(4) as pool:
        done = [pool.submit(tell, found, [MESSAGE]) for _ in range(6)]
        assert sum(one.result()[0] for one in done) == 1
    assert len(receiver.came) == 1
    control.post(NAME, "alarm", "other", [found.alerts[0].name], MESSAGE.content)
    assert control.take(NAME) is not None, "and then the process dies, before or after it sent"
    let_time_pass(control)
    assert deliver(control, found) == (1, [])
    assert [body["may_come_twice"] for *_rest, body in receiver.came] == [False, True]


def test_a_channel_that_a_worker_does_not_know_yet_is_tried_again(
    product: Callable[..., Pipeline], control: Control, receiver: Receiver
) -> None:
    new = {"kind": "webhook", "url": receiver.url}
    control.post(NAME, "alarm", "k", [f"webhook {receiver.url}"], MESSAGE.content)
    old = product(alerts=[{"kind": "webhook", "url": f"{receiver.url}/old"}])
    assert deliver(control, old)[1] == [
        f"webhook {receiver.url}: came no such channel in the YAML that Airflow's worker reads, "
        f"wanted it beside webhook {receiver.url}/old: it was taken out, or that worker has an old "
        "YAML"
    ]
    assert control.sent(NAME)[0].state == "waiting"
    let_time_pass(control)
    assert deliver(control, product(alerts=[new])) == (1, [])


def test_what_is_for_a_channel_that_is_gone_is_given_up_as_all_else(
    product: Callable[..., Pipeline], control: Control
) -> None:
    control.post(NAME, "alarm", "k", ["webhook http://gone"], MESSAGE.content)
    found = product(alerts=[])
    for _ in range(TRIES):
        let_time_pass(control)
        assert len(deliver(control, found)[1]) == 1
    let_time_pass(control)
    assert deliver(control, found) == (0, [])
    assert (control.sent(NAME)[0].state, control.sent(NAME)[0].tries) == ("given up", TRIES)


def test_one_that_no_notifier_can_make_stops_none_behind_it(
    product: Callable[..., Pipeline], control: Control, receiver: Receiver
) -> None:
    found = product(
        alerts=[{"kind": "slack", "connection": "chat"}, {"kind": "webhook", "url": receiver.url}]
    )
    by = [channel.name for channel in found.alerts]
    control.post(NAME, "alarm", "torn", by[:1], {"subject": "without its parts"})
    control.post(NAME, "alarm", "whole", by[1:], MESSAGE.content)
    sent_off, (fault,) = deliver(control, found)
    assert (sent_off, fault) == (1, f"{by[0]}: KeyError: 'cause'")
    states = {one.channel: (one.state, one.fault) for one in control.sent(NAME)}
    assert states == {by[0]: ("waiting", fault), by[1]: ("sent", None)}
