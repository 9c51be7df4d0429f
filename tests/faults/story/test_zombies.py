"""An attempt stops just before it publishes, its retry finishes, it wakes up: nothing changes.

It is stopped where it holds no database: on SQLite a transaction of a stopped process keeps all
others waiting, and the retry ends with "try later" until that process is gone.
"""

from __future__ import annotations

from typing import Any

import pytest

from tests.faults.states import differences

REJECTED, RETRY = 65, 75
STOPS = {
    "raw window": ("corrected-validate", "commit raw.flights"),
    "quarantine": ("base-validate", "commit quarantine.flights"),
    "feature table": ("base-derive", "commit features.origin_traffic"),
    "online store": ("base-materialise", "online origin_traffic"),
    "online window": ("base-materialise", "control complete"),
    "logged model": ("first-register", "mlflow POST /logged-models"),
    "model version": ("first-register", "mlflow POST /model-versions/create"),
    "trigger taken": ("first-claim", "control claim"),
    "set's tag": ("first-assemble", "commit features.origin_traffic"),
    "predictions": ("watched-score", "commit predictions.flight_delays"),
    "distributions": ("watched-monitor", "commit distributions.flight_delays"),
    "measures": ("watched-monitor", "control watch"),
    "trigger asked": ("watched-decide", "control ask"),
    "registry": ("first-register", "mlflow POST /model-versions/set-tag"),
}


@pytest.mark.parametrize("what", STOPS)
def test_a_zombie_is_told_and_changes_nothing(story: Any, what: str) -> None:
    name, at = STOPS[what]
    world, step = story.world, story.steps[name]
    wanted = story.state_after(name)
    world.back_to(name)
    zombie = world.start(step, stop={"at": at})
    assert zombie.until_stopped(), zombie.log.read_text()
    world.run(step, 2)
    assert zombie.resume() == REJECTED, zombie.log.read_text()
    assert world.result(step, 1).error.message.startswith("lease lost: ")
    assert not list(differences(wanted, world.state()))


def test_a_promoter_that_wakes_up_late_is_told_who_won(story: Any) -> None:
    """Its own retry has made the same version champion: it finds that done and changes nothing.

    It ends with 0 and not with "lease lost": promotion is a compare-and-set of the head, without a
    lease, and the head is what it was to become, by the same run and on the same verdict.
    """
    world, step = story.world, story.steps["first-promote"]
    wanted = story.state_after(step.name)
    world.back_to(step.name)
    zombie = world.start(step, stop={"at": "control promote"})
    assert zombie.until_stopped()
    world.run(step, 2)
    assert zombie.resume() == 0
    assert world.state() == wanted


def test_two_runs_of_one_window_at_once(story: Any, full: bool) -> None:
    """One is in the middle of publishing, the other waits for it.

    If that takes a minute (so long is waited in full) the other is told by whom, and comes later.
    """
    world, step = story.world, story.steps["corrected-validate"]
    wanted = story.state_after(step.name)
    world.back_to(step.name)
    first = world.start(step, stop={"at": "commit raw.flights"})
    assert first.until_stopped(), first.log.read_text()
    other = world.start(step, 7, run="other")
    if full:
        assert other.wait() == RETRY, other.log.read_text()
        message = world.result(step, 7).error.message
        assert "corrected/validate, attempt 1 is publishing it now" in message
    assert first.resume() == 0, first.log.read_text()
    assert full or other.wait() == 0, other.log.read_text()
    came = world.state()["lake"]
    assert {t: c for t, c in came.items() if t.startswith("raw.")} == {
        table: content for table, content in wanted["lake"].items() if table.startswith("raw.")
    }
