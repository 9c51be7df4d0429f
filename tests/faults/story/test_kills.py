"""Tasks are killed at each of their writes; the retry ends where an unbroken run ends.

`PERENNIAL_FAULTS=all pytest tests/faults --timeout=36000` goes through every write of every task
and through some hundred random instants, which takes an hour or more; without it one write of each
of 16 steps is tried, and one instant of 5 of them; the commit draws which of both.
"""

from __future__ import annotations

import random
import time
import zlib
from typing import Any

from ml_tasks.config import Environment
from ml_tasks.io import source
from tests.faults.states import differences

RANDOM_KILLS = 7
"""Random instants a step."""
SIGKILLED = -9


def retried(story: Any, name: str) -> list[str]:
    """Run the second attempt, compare the states, and look for orphans."""
    child = story.world.start(story.steps[name], 2)
    if code := child.wait():
        return [f"the retry ended with {code}: {child.log.read_text()[-1500:]}"]
    found = list(differences(story.states[name], story.world.state()))
    cleaned = story.world.orphans()
    found += [f"{what}: {cleaned[what]}" for what in ("left", "missing", "drafts") if cleaned[what]]
    return [*found, *differences(story.states[name]["lake"], cleaned["lake"], "cleaned")]


def killed(story: Any, name: str, **fault: Any) -> Any:
    """Put everything back to before a step, and start it."""
    story.state_after(name)
    story.world.back_to(name)
    return story.world.start(story.steps[name], **fault)


def killed_at_random(story: Any, name: str, dice: random.Random) -> tuple[Any, int]:
    """Kill a step at an instant of its life; give the process, and how often it was over by then.

    It may take less than it took unbroken: an instant at which it was over is the next one's limit,
    so that each that counts has killed.
    """
    limit, missed = story.seconds[name], 0
    while True:
        child = killed(story, name)
        limit = dice.uniform(0, limit)
        time.sleep(limit)
        child.kill()
        if (code := child.wait()) == SIGKILLED:
            return child, missed
        assert code == 0, child.log.read_text()
        missed += 1


def test_killed_at_a_write_the_retry_ends_in_the_same_state(
    story: Any, name: str, full: bool
) -> None:
    writes = len(story.points[name])
    # One in CI, at another depth of each step.
    numbers = range(1, writes + 1) if full else [1 + zlib.crc32(name.encode()) % writes]
    failed = {}
    for number in numbers:
        child = killed(story, name, kill=number)
        assert child.wait() == SIGKILLED, child.log.read_text()
        if wrong := retried(story, name):
            failed[child.passed[-1]] = wrong
            story.note(f"{name} {child.passed[-1]}: {wrong}")
    story.note(f"{name}: killed at {len(numbers)} of {writes} writes, {len(failed)} went wrong")
    assert not failed


def test_killed_at_any_instant_the_retry_ends_in_the_same_state(
    story: Any, name: str, full: bool
) -> None:
    dice, failed, over = random.Random(f"{source.commit(Environment())} {name}"), {}, 0  # noqa: S311 - no secret
    kills = RANDOM_KILLS if full else 1
    for _ in range(kills):
        child, missed = killed_at_random(story, name, dice)
        over += missed
        if wrong := retried(story, name):
            failed[str(child.passed[-1:])] = wrong
            story.note(f"{name} after {child.passed[-1:]}: {wrong}")
    story.note(f"{name}: {kills} random kills, {over} too late, {len(failed)} went wrong")
    assert not failed
