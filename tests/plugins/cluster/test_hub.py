"""What keeps a hub's knowledge new, without a cluster."""

from __future__ import annotations

import asyncio

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer
from kubernetes_asyncio import client, config
from ml_launch.cluster import answers, hub


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

    def opening(given: client.Configuration) -> client.ApiClient:
        made.append(real(given))
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


def test_logs_that_are_followed_leave_room_for_the_rest(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each has a connection of its own as long as its pod runs."""

    async def log(request: web.Request) -> web.StreamResponse:
        answer = web.StreamResponse()
        await answer.prepare(request)
        await answer.write(b"2026-01-01T00:00:00Z here\n")
        await asyncio.sleep(60)
        return answer

    async def pods(_request: web.Request) -> web.Response:
        return web.json_response({"items": [], "metadata": {"resourceVersion": "1"}})

    async def listed_beside(logs: int) -> dict[str, object]:
        app = web.Application()
        app.router.add_get("/api/v1/namespaces/n/pods", pods)
        app.router.add_get("/api/v1/namespaces/n/pods/{pod}/log", log)
        async with TestServer(app) as server:
            given = client.Configuration(host=str(server.make_url("")).rstrip("/"))
            monkeypatch.setattr(client.Configuration, "_default", given)
            shared, followed = hub.Hub("n"), asyncio.Semaphore(0)
            shared._api = answers.unbounded()

            async def follow(pod: str) -> None:
                async for _line in shared.log_lines(pod, None):
                    followed.release()

            following = [asyncio.create_task(follow(f"pod-{n}")) for n in range(logs)]
            for _ in following:
                await followed.acquire()
            core = client.CoreV1Api(shared._api)
            found = await answers.read(core.list_namespaced_pod, "n", _request_timeout=10)
            for one in following:
                one.cancel()
            await asyncio.gather(*following, return_exceptions=True)
            await shared._api.close()
        return found

    assert asyncio.run(asyncio.wait_for(listed_beside(120), 60))["items"] == []
