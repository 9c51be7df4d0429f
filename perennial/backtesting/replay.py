"""The whole of a backtest: history, trainings, weeks, policies; what is there is not done again."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product
from typing import TYPE_CHECKING, Any

from ml_tasks.errors import ConfigError, SourceError
from perennial import console
from perennial.backtesting import candidates, grid, history, judging, weeks, work
from perennial.backtesting.ground import Ground
from perennial.backtesting.walk import UnwatchedError, walk
from perennial.progress import Progress
from perennial.windows import windows as cut

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import ProcessPoolExecutor
    from datetime import date, datetime
    from pathlib import Path

    from ml_tasks.config import Environment, Pipeline, Retraining
    from ml_tasks.result import Window
    from perennial.backtesting.candidates import Candidate
    from perennial.backtesting.judging import Verdict
    from perennial.backtesting.walk import Span

LEAST = 3
"""Windows that each part of history has to have: in fewer no policy shows itself."""


AHEAD = 4
"""Windows that a champion is watched in at once: most serve no longer."""


@dataclass(frozen=True, slots=True, eq=False)
class Replay:
    """What was replayed, and what came of it."""

    pipeline: Pipeline
    place: Path
    """Where it lies."""
    seeds: tuple[int, ...]
    candidates: int
    verdict: Verdict


@dataclass(frozen=True, slots=True)
class Asked:
    """What somebody wants to be replayed."""

    seeds: int
    until: date | None
    turn: date | None
    """Where choosing ends and judging begins; the middle of the windows without it."""
    processes: int


def replay(given: Environment, pipeline: Pipeline, asked: Asked) -> Replay:
    """Replay history under every policy.

    Raises:
        ConfigError: There is too little history on one side of the turn.
        RejectedError: A window cannot be read, or no model passes its gates in the first part.
    """
    place = history.place(given, pipeline)
    windows = _read(place, pipeline, cut(pipeline, asked.until))
    turn = _turn(pipeline, windows, asked.turn)
    seeds = tuple(pipeline.training.seed + number for number in range(asked.seeds))
    ends = [end for end in candidates.ends(pipeline, windows) if end < windows[-1].end]
    with work.pool(asked.processes) as others:
        made = _made(place, pipeline, ends, seeds, others)
        grounds = [
            Ground(place, pipeline, seed, {end: c for (end, own), c in made.items() if own == seed})
            for seed in seeds
        ]
        spans = judging.halves(grounds, windows, turn)
        follow = _Following(grounds, windows, others)
        follow.score()
        told, metric = pipeline.monitoring.retraining, pipeline.evaluation.metric
        variants = [one for some in grid.all_of(told).values() for one in some]
        follow.watch(spans[0], variants)
        picked = judging.choose(grounds, spans[0], told, metric)
        follow.watch(spans[1], [chosen.retraining for _tried, chosen in picked.values()])
        verdict = judging.judge(grounds, spans, picked, metric)
    return Replay(pipeline, place.home, seeds, len(made), verdict)


def _turn(pipeline: Pipeline, windows: Sequence[Window], wanted: date | None) -> datetime:
    """Give the window's start from which on policies are judged."""
    ends = candidates.ends(pipeline, windows)
    turn = next((w.start for w in windows if wanted and w.start.date() >= wanted), None)
    if wanted is None and windows:
        turn = windows[len(windows) // 2].start
    before = sum(1 for w in windows if ends and turn and w.start >= ends[0] and w.end <= turn)
    after = sum(1 for w in windows if turn and w.start >= turn)
    if turn is None or min(before, after) < LEAST:
        raise ConfigError(
            f"{pipeline.name}: came {len(windows)} windows that are over, {before} of them between "
            f"the first training that can be and the turn, {after} after it; wanted {LEAST} at "
            "least on either side; give more history, or another day by --turn"
        )
    return turn


def _read(place: Environment, pipeline: Pipeline, windows: Sequence[Window]) -> Sequence[Window]:
    """Bring in what is missing, oldest first; give the windows that there are."""
    missing = history.missing(place, pipeline, windows)
    done = len(windows) - len(missing)
    with Progress("history", len(windows)) as bar:
        for window in missing:
            bar.show(done, str(window))
            try:
                history.read(place, pipeline, window)
            except SourceError as fault:
                console.say(f"history ends with {window.start:%Y-%m-%d}: {fault}")
                return [one for one in windows if one.end <= window.start]
            done += 1
        bar.show(done, "")
    return windows


def _made(
    place: Environment,
    pipeline: Pipeline,
    ends: Sequence[datetime],
    seeds: Sequence[int],
    others: ProcessPoolExecutor,
) -> dict[tuple[datetime, int], Candidate]:
    told = {(end, seed): (place, pipeline, end, seed) for seed in seeds for end in ends}
    found = _each("trainings", candidates.find, work.make, told, others)
    return {name: found[name] for name in told if found[name] is not None}


@dataclass(frozen=True, slots=True)
class _Following:
    """Follows candidates as far as policies come to them."""

    grounds: Sequence[Ground]
    windows: Sequence[Window]
    others: ProcessPoolExecutor

    def score(self) -> None:
        """Score each candidate in all windows after it."""
        every = {(end, ground): None for ground in self.grounds for end in ground.candidates}
        self._follow("scores", every)

    def watch(self, span: Span, retrainings: Sequence[Retraining]) -> None:
        """Watch whoever becomes champion on the way of one of the policies."""
        lacking: dict[tuple[datetime, Ground], datetime | None] = {}
        while lacking := self._lacking(span, retrainings):
            self._follow("watched", lacking)

    def _lacking(
        self, span: Span, retrainings: Sequence[Retraining]
    ) -> dict[tuple[datetime, Ground], datetime | None]:
        """Give who has to be watched for policies to go on, and until when."""
        found: dict[tuple[datetime, Ground], datetime | None] = {}
        for ground, retraining in product(self.grounds, retrainings):
            try:
                walk(ground, span, retraining)
            except UnwatchedError as fault:
                ahead = span.windows[span.windows.index(fault.window) :][:AHEAD]
                known = found.get((fault.champion, ground)) or ahead[-1].end
                found[fault.champion, ground] = max(known, ahead[-1].end)
        return found

    def _follow(self, what: str, until: Mapping[tuple[datetime, Ground], datetime | None]) -> None:
        told = {
            (end, ground.seed): (
                ground.environment, ground.pipeline, ground.candidates[end], self.windows, last,
            )
            for (end, ground), last in until.items()
        }  # fmt: skip
        found = _each(what, weeks.find, work.follow, told, self.others)
        for end, ground in until:
            ground.followed[end] = found[end, ground.seed]


def _each(
    what: str,
    find: Callable[..., Any],
    make: Callable[..., Any],
    told: Mapping[tuple[datetime, int], tuple[Any, ...]],
    others: ProcessPoolExecutor,
) -> dict[tuple[datetime, int], Any]:
    """Find what is there, make the rest in other processes, and show how far it is."""
    found = {name: find(*arguments) for name, arguments in told.items()}
    lacking = {name: told[name] for name, there in found.items() if there is None}
    done = len(told) - len(lacking)
    with Progress(what, len(told)) as bar:
        bar.show(done, "")
        for name, answer in work.spread(others, make, lacking):
            found[name], done = answer, done + 1
            bar.show(done, f"{name[0]:%Y-%m-%d}, seed {name[1]}")
    return found
