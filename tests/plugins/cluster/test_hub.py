"""What keeps a hub's knowledge new, without a cluster."""

from __future__ import annotations

import asyncio

import pytest
from kubernetes_asyncio import client, config
from ml_launch.cluster import hub


def test_what_nobody_foresaw_is_said_and_begun_anew(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(hub, "PAUSE_SECONDS", 0)
    answers = iter([KeyError("items"), ValueError("no JSON"), None])

    async def look() -> None:
        if fault := next(answers):
            raise fault

    asyncio.run(hub.Hub("trains")._kept_up(look))
    assert next(answers, "asked three times") == "asked three times"
    assert [record.message for record in caplog.records] == [
        "what is known of trains is looked up anew"
    ] * 2


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[client.ApiClient]:
    """What is opened to a cluster that does not answer, where a login takes a moment."""
    made: list[client.ApiClient] = []
    real = client.ApiClient

    async def login() -> None:
        await asyncio.sleep(0.05)
        client.Configuration.set_default(client.Configuration(host="http://127.0.0.1:9"))

    def opening() -> client.ApiClient:
        made.append(real())
        return made[-1]

    monkeypatch.setattr(config, "load_config", login)
    monkeypatch.setattr(client, "ApiClient", opening)
    return made


def test_guests_who_come_at_once_share_one_watch(opened: list[client.ApiClient]) -> None:
    async def guest() -> int:
        async with hub.Hub.of("trains") as shared:
            return len(shared._work)

    async def all_at_once() -> list[int]:
        found = await asyncio.gather(*(guest() for _ in range(3)))
        assert len(asyncio.all_tasks()) == 1
        return list(found)

    assert asyncio.run(all_at_once()) == [3, 3, 3]
    assert len(opened) == 1
    assert opened[0].rest_client.pool_manager.closed


def test_without_a_login_what_is_missing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    async def none() -> None:
        raise config.ConfigException("no configuration found")

    monkeypatch.setattr(config, "load_config", none)

    async def guest() -> None:
        async with hub.Hub.of("trains"):
            pass

    with pytest.raises(config.ConfigException, match="no configuration found"):
        asyncio.run(guest())


def pod(job: str) -> dict[str, dict[str, object]]:
    return {"metadata": {"uid": f"{job}-1", "labels": {hub.OF_JOB: job}}}


def test_what_nobody_waits_for_is_forgotten_and_who_still_waits_is_told() -> None:
    async def gone() -> None:
        shared = hub.Hub("trains")
        shared._take(pod("other"), gone=False)
        shared._take(pod("other"), gone=True)
        assert shared._seen == {}
        first, second = (shared.changes("own", 10) for _ in range(2))
        assert [await anext(first), await anext(second)] == [[], []]
        await first.aclose()
        shared._take_all([pod("own"), pod("other")])
        assert [p["metadata"]["uid"] for p in await anext(second)] == ["own-1"]
        await second.aclose()
        shared._take_all([])
        assert shared._seen == {}

    asyncio.run(gone())
