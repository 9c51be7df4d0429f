"""A policy's way through history: who is champion in which window, and what was trained when."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ml_tasks.decide import decide

if TYPE_CHECKING:
    from datetime import datetime

    from ml_tasks.config import Retraining
    from ml_tasks.policies.evidence import Evidence
    from ml_tasks.result import Window
    from perennial.backtesting.weeks import Score


AGE = "schedule"
"""The policy that asks for nothing but the champion's age."""


class UnwatchedError(Exception):
    """A policy came to a champion that nobody has watched in that window yet."""

    def __init__(self, champion: datetime, window: Window) -> None:
        """Say who, and in which window."""
        super().__init__(f"{champion} in {window}")
        self.champion, self.window = champion, window


class World(Protocol):
    """What history gives to whoever walks through it; candidates are named by their end."""

    def evidence(self, champion: datetime, window: Window) -> Evidence:
        """Give what policies are told at a window's end.

        Raises:
            UnwatchedError: Nobody has watched that champion in that window yet.
        """
        ...

    def age(self, champion: datetime, window: Window) -> Evidence:
        """Give the same without anything that watching it has found."""
        ...

    def passes(self, candidate: datetime, champion: datetime) -> bool:
        """Tell whether a candidate passes its gates beside a champion."""
        ...

    def score(self, champion: datetime, window: Window) -> Score:
        """Give what a champion was worth in a window."""
        ...


@dataclass(frozen=True, slots=True)
class Span:
    """A part of history that policies go through from the same beginning."""

    first: datetime
    """End of what the first champion learned from."""
    windows: tuple[Window, ...]


@dataclass(frozen=True, slots=True)
class Walk:
    """What a policy did."""

    champions: tuple[datetime, ...]
    """By window: end of what its champion learned from."""
    trained: dict[datetime, str]
    """At which windows' ends, and why."""
    promoted: tuple[datetime, ...]
    """Those that passed their gates."""


def walk(world: World, span: Span, retraining: Retraining) -> Walk:
    """Go from window to window: the champion predicts, the policy decides, the gates judge.

    At the last window's end nothing is decided: nobody would see what it is worth.

    Raises:
        UnwatchedError: It comes to a champion that nobody has watched in that window yet.
    """
    told = world.age if {one.name for one in retraining.policies} <= {AGE} else world.evidence
    champion, champions = span.first, [span.first]
    trained: dict[datetime, str] = {}
    promoted = []
    for window in span.windows[:-1]:
        made = decide(told(champion, window), retraining, tuple(trained))
        if made.train:
            trained[window.end] = made.why
            if world.passes(window.end, champion):
                champion = window.end
                promoted.append(champion)
        champions.append(champion)
    return Walk(tuple(champions), trained, tuple(promoted))
