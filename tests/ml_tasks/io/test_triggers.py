"""What holds a training back that a policy wants, and what does not."""

from __future__ import annotations

import pytest

from ml_tasks.config.limits import MONITOR, OUTSIDE
from ml_tasks.config.monitoring import Retraining
from ml_tasks.errors import LimitError
from ml_tasks.io.control import Control
from ml_tasks.io.schema import LONGEST_OUTCOME
from ml_tasks.io.triggers import by_policies

START = "2013-01-01"
MARCH, APRIL, MAY = (f"{START}/2013-{month}-01" for month in ("03", "04", "05"))
MONTHLY = Retraining(cool_down_days=28, most_a_month=2)


@pytest.fixture
def control(database_url: str) -> Control:
    made = Control(database_url)
    made.migrate()
    return made


def wanted(
    control: Control, window: str, pipeline: str = "p", cause: str = MONITOR, *, held: bool = True
) -> bool:
    """Ask as a policy does; tell whether a trigger was written."""
    _, new = control.ask(
        pipeline, cause, window, who="r", evidence={}, within=MONTHLY if held else None
    )
    return new


def test_a_policy_is_held_back_by_what_policies_asked_for(control: Control) -> None:
    assert wanted(control, MARCH)
    with pytest.raises(LimitError, match="cool-down of 28 days since 2013-03-01"):
        wanted(control, f"{START}/2013-03-20")
    with pytest.raises(LimitError, match="cool-down of 28 days since 2013-03-01"):
        wanted(control, f"{START}/2013-03-20", cause=OUTSIDE)
    assert wanted(control, APRIL)


def test_another_products_trainings_hold_nobody_back(control: Control) -> None:
    assert wanted(control, MARCH, "other")
    assert wanted(control, MARCH)


def test_what_a_person_asks_for_once_more_takes_nothing_of_the_budget(control: Control) -> None:
    first, _ = control.ask("p", MONITOR, MARCH, who="r", evidence={})
    again = control.replay(first.id, who="me", why="to see it again")
    assert again.replays == first.id
    counted = by_policies(control.triggers("p"))
    assert [len(ends) for ends in counted.values()] == [1, 0]
    assert wanted(control, APRIL)


@pytest.mark.parametrize("cause", [MONITOR, OUTSIDE])
def test_a_window_that_is_watched_once_more_is_held_by_what_was_asked_up_to_a_later_day(
    control: Control, cause: str
) -> None:
    """That training has its rows, too."""
    assert wanted(control, MAY)
    with pytest.raises(LimitError, match="a training up to 2013-05-01 was asked for already"):
        control.ask("p", cause, MARCH, who="r", evidence={}, within=MONTHLY)
    assert not wanted(control, MAY)


def test_the_same_wish_is_one_trigger_whatever_holds_it_back(control: Control) -> None:
    assert wanted(control, MARCH)
    assert not wanted(control, MARCH)


def test_an_outcome_has_as_many_words_as_there_is_room_for(control: Control) -> None:
    trigger, _ = control.ask("p", MONITOR, MARCH, who="r", evidence={})
    control.finish(trigger.id, "x" * 1000)
    assert control.trigger(trigger.id).outcome == "x" * LONGEST_OUTCOME


def test_a_run_may_have_as_long_a_name_as_airflow_lets_it(control: Control) -> None:
    run = "r" * 250
    made, new = control.ask("p", "form", MAY, who=run, evidence={}, replay=run)
    assert (made.who, new) == (run, True)
    assert control.ask("p", "form", MAY, who=run, evidence={}, replay=run) == (made, False)
