"""What Alertmanager posts, over HTTP, with tokens of Airflow's auth manager."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from ml_tasks.config import ROOT, Environment
from ml_tasks.io.control import Control
from tests.conftest import _free_port
from tests.plugins.alerts.conftest import NAME, write

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_tasks.io.control import Report


class Server:
    """The plugin's app, and who asks it."""

    def __init__(self, url: str, tokens: dict[str, str], home: str) -> None:
        self.url, self.tokens = url, tokens
        self.control = Control(Environment(home=home).control)  # type: ignore[arg-type]

    def post(self, body: Any, role: str | None = "user", **headers: str) -> httpx.Response:
        login = {"Authorization": f"Bearer {self.tokens.get(role, role)}"} if role else {}
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        told = {"Content-Type": "application/json", **login, **headers}
        return httpx.post(f"{self.url}/perennial/alerts", content=content, headers=told)

    def kept(self, fingerprint: str) -> list[Report]:
        self.control.migrate()
        return [one for one in self.control.reports() if one.fingerprint == fingerprint]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    root, port = tmp_path_factory.mktemp("served"), _free_port()
    write(root / "pipelines", policies=[{"name": "outside"}])
    home = root / "home"
    env = {
        **os.environ,  # noqa: TID251 - a child's environment
        "AIRFLOW_HOME": str(root / "airflow"),
        "AIRFLOW__API_AUTH__JWT_SECRET": "a secret of this test, which is long enough",
        "PERENNIAL_HOME": str(home),
        "PERENNIAL_PIPELINES": str(root / "pipelines"),
        "PYTHONPATH": str(ROOT / "plugins"),
    }
    script = ROOT / "tests" / "plugins" / "alerts" / "serve.py"
    with (root / "log").open("wb") as log:
        child = subprocess.Popen(
            [sys.executable, str(script), str(port)], env=env, stdout=subprocess.PIPE, stderr=log
        )
    try:
        assert child.stdout is not None
        lines = iter(child.stdout.readline, b"")
        told = next((line for line in lines if line.startswith(b"{")), None)
        assert told is not None, (root / "log").read_text()
        url = f"http://127.0.0.1:{port}"
        while child.poll() is None:
            try:
                httpx.get(url)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield Server(url, json.loads(told), str(home))
    finally:
        child.terminate()
        child.wait(20)


def alert(fingerprint: str, **more: Any) -> dict[str, Any]:
    return {
        "status": "firing",
        "labels": {"alertname": "FeedChanged", "pipeline": NAME},
        "annotations": {"summary": "{{ 7 * 7 }} <b>"},
        "startsAt": "2013-01-05T10:00:00.123456789Z",
        "endsAt": "0001-01-01T00:00:00Z",
        "generatorURL": "http://prometheus/graph",
        "fingerprint": fingerprint,
        **more,
    }


def group(*alerts: dict[str, Any], **more: Any) -> dict[str, Any]:
    return {
        "version": "4",
        "groupKey": "{}",
        "truncatedAlerts": 0,
        "status": "firing",
        "receiver": "perennial",
        "groupLabels": {},
        "commonLabels": {},
        "commonAnnotations": {},
        "externalURL": "http://alertmanager",
        "alerts": list(alerts),
        **more,
    }


def test_without_a_token_and_without_the_right_nothing_is_written(server: Server) -> None:
    body = group(alert("refused"))
    assert server.post(body, role=None).status_code == 401
    assert server.post(body, role="late").status_code == 401
    assert server.post(body, role="nonsense").status_code == 403
    answer = server.post(body, role="viewer")
    assert answer.status_code == 403
    assert f"a-viewer: came no right to start {NAME}__intake" in answer.json()["detail"]
    assert server.kept("refused") == []


def test_the_same_five_times_is_one_and_the_end_closes_it(server: Server) -> None:
    answers = [server.post(group(alert("once"))).json() for _ in range(5)]
    assert [one["new"] for one in answers] == [1, 0, 0, 0, 0]
    (kept,) = server.kept("once")
    assert (kept.source, kept.status, kept.name) == ("a-user", "open", "FeedChanged")
    assert kept.starts_at == "2013-01-05T10:00:00.123+00:00"
    assert kept.annotations == {"summary": "{{ 7 * 7 }} <b>"}
    ended = server.post(group(alert("once", status="resolved"), status="resolved"))
    assert ended.json() == {"kept": 1, "new": 0, "closed": 1}
    again = server.post(group(alert("once", startsAt="2013-01-06T10:00:00+01:00")))
    assert again.json()["new"] == 1
    assert [one.status for one in server.kept("once")] == ["closed", "open"]


def test_a_product_that_is_none_is_refused_and_the_others_are_kept(server: Server) -> None:
    bad = alert("bad", labels={"alertname": "A", "pipeline": "nosuch"})
    without = alert("without", labels={"alertname": "A"})
    answer = server.post(group(bad, alert("beside"), without))
    assert answer.status_code == 422
    wanted = f"wanted a product, of which you may see ['{NAME}']"
    assert answer.json()["detail"] == [
        f"alerts.0.labels.pipeline: came 'nosuch', {wanted}",
        f"alerts.2.labels.pipeline: came 'nothing', {wanted}",
    ]
    assert answer.json()["kept"] == len(server.kept("beside")) == 1
    assert server.kept("bad") == []


@pytest.mark.parametrize("moment", ["0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00"])
def test_a_moment_beyond_the_calendar_is_refused_and_the_others_are_kept(
    server: Server, moment: str
) -> None:
    name = f"beside-{moment[:4]}"
    answer = server.post(group(alert("edge", startsAt=moment), alert(name)))
    assert (answer.status_code, answer.json()["kept"]) == (422, 1)
    assert answer.json()["detail"] == [
        f"alerts.0.startsAt: came '{moment}', wanted a moment of the years 1 to 9999 in UTC"
    ]
    assert (len(server.kept(name)), server.kept("edge")) == (1, [])


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b"{", 422, "Invalid JSON"),
        ([], 422, "webhook: (whole file): came []"),
        (group(version="3"), 422, "webhook: version: came '3', wanted '4'"),
        (group(alert("x", startsAt="soon")), 422, "alerts.0.startsAt: came 'soon'"),
        (group(alert("x", startsAt="2013-01-05T10:00:00")), 422, "timezone"),
        (group(alert("x", labels={"pipeline": 7})), 422, "came 7, wanted a text"),
        (group(alert("x" * 65)), 422, "alerts.0.fingerprint"),
        (group(alert("x", generatorURL="a\0")), 422, "alerts.0.generatorURL"),
        (group(alert("x", status="pending")), 422, "wanted 'firing' or 'resolved'"),
        ({"version": "4"}, 422, "webhook: alerts: came nothing"),
        (b" " * (2**20 + 1), 413, "wanted fewer"),
    ],
)
def test_what_is_no_webhook_is_refused(server: Server, body: Any, status: int, said: str) -> None:
    answer = server.post(body)
    assert (answer.status_code, said in answer.text) == (status, True), answer.text
    assert server.kept("x") == []


def test_of_many_faults_the_first_are_told(server: Server) -> None:
    labels = {f"{number}": number for number in range(50_000)}
    answer = server.post(group(alert("x", labels=labels)))
    told = answer.json()["detail"]
    assert (answer.status_code, len(told)) == (422, 21)
    assert told[0].startswith("webhook: alerts.0.labels.0: came 0, wanted a text")
    assert told[-1] == "and 49980 more"
    unnamed = [alert(f"{number}", labels={}) for number in range(30)]
    told = server.post(group(*unnamed)).json()["detail"]
    assert (len(told), told[-1]) == (21, "and 10 more")


def test_a_form_of_another_page_cannot_post_it(server: Server) -> None:
    """A browser sends a JSON of another page only after asking; a form it sends at once."""
    answer = server.post(group(alert("form")), **{"Content-Type": "text/plain"})
    assert (answer.status_code, server.kept("form")) == (415, [])
