"""The whole of a backtest: history, trainings, weeks, policies; what is there is not done again."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_tasks.errors import ConfigError, SourceError
from perennial import console
from perennial.backtesting import candidates, history, judging, weeks, work
from perennial.backtesting.ground import Ground
from perennial.progress import Progress

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from concurrent.futures import ProcessPoolExecutor
    from datetime import date, datetime
    from pathlib import Path

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.result import Window
    from perennial.backtesting.candidates import Candidate
    from perennial.backtesting.judging import Verdict
    from perennial.backtesting.walk import Span

LEAST = 3
"""Windows that each part of history has to have: in fewer no policy shows itself."""


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
    windows = _read(place, pipeline, history.windows(pipeline, asked.until))
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
        _follow(grounds, windows, spans, others)
    metric = pipeline.evaluation.metric
    with Progress("policies", 1) as bar:
        verdict = judging.judge(grounds, spans, pipeline.monitoring.retraining, metric)
        bar.show(1, "")
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


def _follow(
    grounds: Sequence[Ground],
    windows: Sequence[Window],
    spans: tuple[Span, Span],
    others: ProcessPoolExecutor,
) -> None:
    """Score all candidates, and watch those who may be champion as long as they may be."""
    told = {}
    for ground in grounds:
        until = dict.fromkeys(ground.candidates, None) | _until(ground, spans)
        for end, candidate in ground.candidates.items():
            place, pipeline = ground.environment, ground.pipeline
            told[end, ground.seed] = (place, pipeline, candidate, windows, until[end])
    found = _each("weeks after them", weeks.find, work.follow, told, others)
    for ground in grounds:
        ground.followed = {end: found[end, ground.seed] for end in ground.candidates}


def _until(ground: Ground, spans: tuple[Span, Span]) -> dict[datetime, datetime]:
    """Give to whoever may be champion the end of the part of history in which it may be."""
    found: dict[datetime, datetime] = {}
    for span in spans:
        changes = [window.end for window in span.windows[:-1]]
        last = span.windows[-1].end
        found |= dict.fromkeys(ground.reachable(span.first, changes), last)
    return found


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
