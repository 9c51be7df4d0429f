"""What keeps a hub's knowledge new, without a cluster."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ml_launch.cluster import hub

if TYPE_CHECKING:
    import pytest


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
