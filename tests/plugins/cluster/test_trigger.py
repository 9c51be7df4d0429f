"""Waits in the triggerer: real triggers on a real cluster."""

from __future__ import annotations

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any

from ml_launch.cluster.hub import Hub
from ml_launch.cluster.trigger import JobTrigger

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest
    from ml_launch.cluster.launch import JobLaunch

    from tests.plugins.cluster.conftest import Field

    Until = Callable[[Callable[[], Any]], Any]

WAIT = "import time; print('begun', flush=True); time.sleep(600)"


def again(started: JobLaunch, seconds: float = 120) -> JobTrigger:
    """Make the trigger as the triggerer does: from what was written down."""
    path, told = started.trigger(time.time() + seconds).serialize()
    assert path == "ml_launch.cluster.trigger.JobTrigger"
    return JobTrigger(**told)


async def fired(trigger: JobTrigger) -> dict[str, Any]:
    async for event in trigger.run():
        return dict(event.payload)
    raise AssertionError


def test_it_fires_at_the_end_and_hands_the_log_on(
    field: Field, caplog: pytest.LogCaptureFixture
) -> None:
    started = field.start(field.command("print('one'); print('two')"))
    with caplog.at_level(logging.INFO, "ml_launch"):
        assert asyncio.run(fired(again(started))) == {"late": False}
    assert [r.message for r in caplog.records if r.message in ("one", "two")] == ["one", "two"]
    outcome = started.once(print)
    assert outcome is not None
    assert outcome.succeeded


def test_many_wait_with_one_watch(field: Field) -> None:
    started = [field.start(field.command("pass")) for _ in range(5)]

    async def all_of_them() -> list[dict[str, Any]]:
        waits = [asyncio.create_task(fired(again(one))) for one in started]
        await asyncio.sleep(0.5)
        (hub,) = Hub._open.values()
        assert hub._guests == len(started)
        return await asyncio.gather(*waits)

    assert asyncio.run(all_of_them()) == [{"late": False}] * 5
    assert not Hub._open


def test_it_fires_when_the_time_is_over(field: Field) -> None:
    started = field.start(field.command(WAIT))
    assert asyncio.run(fired(again(started, seconds=3))) == {"late": True}


def test_it_fires_when_the_job_is_gone(field: Field, until: Until) -> None:
    started = field.start(field.command(WAIT))
    until(lambda: field.pods(started))

    async def wait() -> dict[str, Any]:
        waiting = asyncio.create_task(fired(again(started)))
        await asyncio.sleep(1)
        started.stop()
        return await waiting

    assert asyncio.run(wait()) == {"late": False}


def test_who_clears_the_task_ends_the_job(field: Field, until: Until) -> None:
    started = field.start(field.command(WAIT))
    until(lambda: field.pods(started))
    asyncio.run(again(started).on_kill())
    until(lambda: not field.pods(started))
