"""What the cluster took away is begun again as the same attempt, and wakes up beside its successor.

Both have one command line, one place for the result and one holder of leases; the order in which
they began tells them apart.
"""

from __future__ import annotations

from typing import Any

import pytest

from ml_tasks.io import objects
from tests.faults.states import differences

REJECTED = 65
STOPS = {
    "staged rows": ("base-ingest", "object staged_flights.parquet"),
    "raw window": ("corrected-validate", "commit raw.flights"),
    "online window": ("base-materialise", "control complete"),
}
"""Without a lease, holding one before a commit to the lake, and holding one before control."""


@pytest.mark.parametrize("what", STOPS)
def test_a_zombie_of_the_same_attempt_changes_nothing(story: Any, what: str) -> None:
    name, at = STOPS[what]
    world, step = story.world, story.steps[name]
    wanted = story.state_after(name)
    world.back_to(name)
    argv = world.argv(step, 1)
    result = argv[argv.index("--result") + 1]
    zombie = world.start(step, stop={"at": at})
    assert zombie.until_stopped(), zombie.log.read_text()
    world.run(step)
    said = objects.read_bytes(result)
    assert zombie.resume() == REJECTED, zombie.log.read_text()
    assert "lease lost: attempt 1 of flight_delays/" in zombie.log.read_text()
    assert objects.read_bytes(result) == said
    assert not list(differences(wanted, world.state()))
