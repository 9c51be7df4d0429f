"""What is between us and the API falls silent, as a machine does that is gone: nobody waits on."""

from __future__ import annotations

import asyncio
import os
import time
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest
import yaml
from kubernetes_asyncio.config import kube_config
from ml_launch.cluster import hub
from ml_launch.cluster.trigger import JobTrigger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.plugins.cluster.conftest import Field


class Between:
    """Passes on what both sides say, but for connections that were open at a silence."""

    def __init__(self, config: dict[str, Any], file: Path) -> None:
        self.config, self.file = config, file
        (self.cluster,) = (one["cluster"] for one in config["clusters"])
        self.address = urlsplit(self.cluster["server"])
        self.silences = 0
        self.deaf = False
        """Whether nothing is passed on at all."""

    @asynccontextmanager
    async def open(self) -> AsyncIterator[None]:
        server = await asyncio.start_server(self._pass, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        self.cluster["server"] = f"{self.address.scheme}://127.0.0.1:{port}"
        self.cluster["insecure-skip-tls-verify"] = True
        for known in ("certificate-authority", "certificate-authority-data"):
            self.cluster.pop(known, None)
        self.file.write_text(yaml.safe_dump(self.config))
        yield
        server.close()

    async def _pass(self, ours: asyncio.StreamReader, to_us: asyncio.StreamWriter) -> None:
        theirs, to_them = await asyncio.open_connection(self.address.hostname, self.address.port)
        born = self.silences
        await asyncio.gather(self._copy(ours, to_them, born), self._copy(theirs, to_us, born))

    async def _copy(
        self, read: asyncio.StreamReader, write: asyncio.StreamWriter, born: int
    ) -> None:
        with suppress(ConnectionError):
            while piece := await read.read(1 << 16):
                if self.silences == born and not self.deaf:
                    write.write(piece)
                    await write.drain()
        if self.silences == born:
            write.close()


@pytest.fixture
def between(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Between:
    """What the cluster's client is led through once it is open."""
    config = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())  # noqa: TID251
    own = tmp_path / "kubeconfig"
    monkeypatch.setattr(kube_config, "KUBE_CONFIG_DEFAULT_LOCATION", str(own))
    return Between(config, own)


def test_what_a_person_ends_is_ended_when_the_api_is_back(
    field: Field, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "DELETE_SECONDS", 1)
    started = field.start(field.command("import time; time.sleep(600)"))
    _path, told = started.trigger(time.time() + 120).serialize()

    async def ended() -> None:
        async with between.open():
            between.deaf = True
            ending = asyncio.create_task(JobTrigger(**told).on_kill())
            await asyncio.sleep(3)
            assert field.pods(started)
            between.deaf = False
            await ending

    asyncio.run(ended())
    assert started._seen() is None


def test_a_watch_that_falls_silent_is_begun_anew(
    field: Field, between: Between, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hub, "WATCH_SECONDS", 2)
    monkeypatch.setattr(hub, "SILENT_SECONDS", 1)
    monkeypatch.setattr(hub, "LIST_SECONDS", 3)
    started = field.start(field.command("import time; time.sleep(600)"))
    path, told = started.trigger(time.time() + 120).serialize()
    assert path.endswith("JobTrigger")

    async def fired() -> Any:
        async with between.open():
            waiting = asyncio.create_task(anext(JobTrigger(**told).run()))
            while not any(
                seen.pods for one in hub.Hub._open.values() for seen in one._seen.values()
            ):
                await asyncio.sleep(0.1)
            between.silences += 1
            await asyncio.to_thread(started.stop)
            return (await waiting).payload

    assert asyncio.run(fired())["late"] is False
