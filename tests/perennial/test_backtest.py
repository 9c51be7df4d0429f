"""History of a shop whose customers change: replayed, chosen on, judged."""

from __future__ import annotations

import importlib
import itertools
import os
import signal
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import yaml

from ml_tasks import config
from ml_tasks.config import Environment, Pipeline, Policy, Retraining
from ml_tasks.context import Context
from ml_tasks.errors import NotPassedError, RejectedError
from ml_tasks.flow import step
from ml_tasks.io import objects
from ml_tasks.io.control import Control
from ml_tasks.policies.evidence import Evidence, Measured
from ml_tasks.result import Result, Window
from perennial.__main__ import main
from perennial.backtesting import grid, history, judging, oracle, replay, report
from perennial.backtesting.ground import Ground
from perennial.backtesting.walk import Span, walk
from perennial.backtesting.weeks import Score
from tests.shop import lay_down, returns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

START, A_DAY, TURN = datetime(2024, 1, 1, tzinfo=UTC), 60, datetime(2024, 1, 29, tzinfo=UTC)
WEEKS = tuple(
    Window(start=START + timedelta(weeks=n), end=START + timedelta(weeks=n + 1)) for n in range(7)
)
OURS = {
    "policies": [{"name": "performance", "params": {"windows": 1, "drop": 0.05}}],
    "cool_down_days": 7,
}
SECTIONS: dict[str, Any] = {
    "schedule": {"cron": "0 0 * * 1", "start": "2024-01-01", "end": "2024-02-18"},
    "split": {"validation_days": 2, "test_days": 2, "gap_days": 0},
    "training": {
        "model": "mlp", "params": {"hidden": [8]}, "epochs": 8, "batch_size": 64,
        "learning_rate": 0.02,
    },
    "evaluation": {
        "metric": "roc_auc",
        "bootstrap_samples": 50,
        "gates": [
            {"name": "floor", "params": {"metric": "roc_auc", "minimum": 0.5}},
            {"name": "beats_champion", "params": {"metric": "roc_auc"}},
        ],
    },
    "monitoring": {
        "engine": "scipy",
        "drift": [{"test": "ks"}],
        "label_days": 1,
        "retraining": OURS,
        "rollback": {"automatic": False},
    },
}  # fmt: skip


def deliver(folder: Path, day: datetime) -> None:
    """Lay down orders of a day: which come back depends on the shop; at the turn others open."""
    dice = np.random.default_rng(int(f"{day:%Y%m%d}"))
    bad = dice.random(A_DAY) < 0.4
    good, awful = ("east", "west") if day >= TURN else ("north", "south")
    minutes = np.sort(dice.choice(20 * 60, A_DAY, replace=False))
    price, shop = dice.normal(10, 3, A_DAY), np.where(bad, awful, good)
    returned = dice.random(A_DAY) < np.where(bad, 0.85, 0.15)
    lay_down(folder, day, minutes, price=price, shop=shop, returned=returned)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SimpleNamespace]:
    """A home, and the product's YAML with its deliveries."""
    folder = tmp_path_factory.mktemp("backtest")
    for days in range(7 * len(WEEKS)):
        deliver(folder / "orders", START + timedelta(days=days))
    told = returns((folder / "orders").as_uri(), **SECTIONS)
    pipelines = folder / "pipelines"
    pipelines.mkdir()
    (pipelines / "returns.yaml").write_text(yaml.safe_dump(told))
    variables = {"PERENNIAL_HOME": str(folder / "home"), "PERENNIAL_PIPELINES": str(pipelines)}
    with pytest.MonkeyPatch.context() as patch:
        for name, value in variables.items():
            patch.setenv(name, value)
        given = Environment()
        pipeline = config.load("returns", given.pipelines)
        yield SimpleNamespace(given=given, pipeline=pipeline, own=history.place(given, pipeline))


ASKED = (
    "backtest",
    "-p",
    "returns",
    "--seeds",
    "1",
    "--processes",
    "1",
    "--turn",
    f"{TURN:%Y-%m-%d}",
)


@pytest.fixture(scope="module")
def replayed(place: SimpleNamespace) -> SimpleNamespace:
    """A backtest that was killed in the middle, and called again."""
    command = [sys.executable, "-m", "perennial", *ASKED]
    with subprocess.Popen(command, start_new_session=True) as first:
        limit = time.monotonic() + 200
        while not trained(place.own):
            assert first.poll() is None
            assert time.monotonic() < limit
            time.sleep(0.1)
        os.killpg(first.pid, signal.SIGKILL)
    before = trained(place.own)
    asked = replay.Asked(1, None, TURN.date(), 1)
    found = replay.replay(place.given, place.pipeline, asked)
    return SimpleNamespace(found=found, before=before, after=trained(place.own))


def trained(own: Environment) -> dict[str, float]:
    """When each result of a training was written."""
    folder = Path(own.objects_root.removeprefix("file://"))
    return {
        str(file): file.stat().st_mtime
        for file in folder.glob("runs/returns/*/train/*/result.json")
    }


def test_a_killed_backtest_goes_on(replayed: SimpleNamespace) -> None:
    assert replayed.before
    assert len(replayed.after) == replayed.found.candidates == 6
    assert replayed.before.items() <= replayed.after.items()


def test_again_nothing_is_trained_and_the_same_comes_out(
    place: SimpleNamespace, replayed: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(ASKED) == 0
    out = capsys.readouterr().out
    assert trained(place.own) == replayed.after
    for row in report.table(replayed.found)[2]:
        assert "\t".join(row) in out
    page = (place.own.home / "backtest.html").read_text()
    assert page.count("<svg") == 2
    assert "every four weeks" in page


def test_who_retrains_wins_when_the_world_turns(replayed: SimpleNamespace) -> None:
    verdict = replayed.found.verdict
    assert [len(span.windows) for span in verdict.spans] == [3, 3]
    never, weekly = verdict.of(grid.NEVER).judged, verdict.of(grid.WEEKLY).judged
    assert never.quality < 0.65 < weekly.quality
    assert (never.trained.mean(), weekly.trained.mean()) == (0, 2)
    assert verdict.of(grid.CONFIGURED).judged.trained.mean() == 1
    assert verdict.of(grid.CONFIGURED).judged.quality > never.quality + 0.05
    for one in verdict.policies:
        assert (one.regret >= -1e-12).all()


def test_the_walk_is_what_the_tasks_do_week_by_week(
    place: SimpleNamespace, replayed: SimpleNamespace, tmp_path: Path
) -> None:
    verdict = replayed.found.verdict
    told, (_, span) = verdict.of(grid.CONFIGURED).judged, verdict.spans
    loop = Loop(place.pipeline, place.own.model_copy(update={"home": tmp_path}))
    assert loop.train(span.first, None)
    for number, window in enumerate(span.windows):
        loop.chain("monitoring", window, ("score", "monitor", "decide"))
        assert loop.champion == f"{told.walks[0].champions[number]:%Y-%m-%d}"
        if loop.wants and window != span.windows[-1]:
            loop.train(window.end, loop.champion)
    asked = {end: why for end, why in loop.trained.items() if end != span.first}
    assert asked == told.walks[0].trained
    assert asked
    control = Control(loop.environment.control)
    versions = [f"{end:%Y-%m-%d}" for end in told.walks[0].champions]
    found = {
        (m.start, m.version): m.value
        for m in control.measures("returns")
        if (m.kind, m.metric) == ("realised", "roc_auc")
    }
    realised = [
        found[window.start.isoformat(), version]
        for window, version in zip(span.windows, versions, strict=True)
    ]
    assert realised == pytest.approx(told.values[0], abs=1e-12)


class Loop:
    """The platform's tasks one after the other, with a control and objects of their own."""

    def __init__(self, pipeline: Pipeline, environment: Environment) -> None:
        control = f"sqlite:///{environment.home}/control.db"
        self.environment = environment.model_copy(
            update={"control_url": control, "objects": (environment.home / "objects").as_uri()}
        )
        self.pipeline = pipeline
        self.control = Control(control)
        self.control.migrate()
        self.trained: dict[datetime, str] = {}
        self.wants = ""

    @property
    def champion(self) -> str | None:
        head = self.control.champion("returns")
        return None if head is None else head.version

    def chain(self, flow: str, window: Window, tasks: tuple[str, ...]) -> dict[str, Result]:
        done: dict[str, Result] = {}
        for task in tasks:
            context = Context(
                task=task, pipeline="returns", run=f"{flow}-{window.end:%Y-%m-%d}", attempt=1,
                environment=self.environment, window=window,
                inputs={need: done[need] for need in step(task).needs if need in done},
            )  # fmt: skip
            done[task] = importlib.import_module(f"ml_tasks.{task}").run(self.pipeline, context)
            objects.write_result(f"{context.folder}/result.json", done[task])
        if "decide" in done:
            told = done["decide"].values
            self.wants = str(told["why"]) if told["train"] else ""
        return done

    def train(self, end: datetime, champion: str | None) -> bool:
        self.trained[end] = self.wants
        tasks = ("assemble", "prove", "train", "baseline", "evaluate", "judge", "reference")
        try:
            done = self.chain("training", Window(start=START, end=end), tasks)
        except NotPassedError:
            return False
        uri = str(done["judge"].outputs["verdict"].uri)
        self.control.promote(
            "returns", f"{end:%Y-%m-%d}", expected=champion, run=f"training-{end:%Y-%m-%d}",
            verdict_uri=uri, who="test", why="passed",
        )  # fmt: skip
        return True


class Made:
    """A world out of a table: what candidate `i` is worth in window `j`."""

    def __init__(self, worth: Any, windows: tuple[Window, ...], refused: set[int]) -> None:
        self.worth, self.windows, self.refused = worth, windows, refused
        self.ends = [windows[0].start, *(window.end for window in windows)]

    def score(self, champion: datetime, window: Window) -> Score:
        place = self.windows.index(window)
        return Score(self.worth[self.ends.index(champion), place], 100 + place)

    def passes(self, candidate: datetime, champion: datetime | None) -> bool:
        del champion
        return self.ends.index(candidate) not in self.refused

    def age(self, champion: datetime, window: Window) -> Evidence:
        return self.evidence(champion, window)

    def evidence(self, champion: datetime, window: Window) -> Evidence:
        since = self.windows[self.ends.index(champion) : self.windows.index(window) + 1]
        realised = [Measured(w, self.score(champion, w).value, 0.001, 100) for w in since]
        learned = Window(start=START - timedelta(days=90), end=champion)
        judged = Measured(learned, 0.8, 0.001, 0)
        return Evidence(window, champion, "roc_auc", 1, judged, realised=tuple(realised))


def made(seed: int, number: int = 12) -> Made:
    """Models that grow worse with age, some of which are refused."""
    dice = np.random.default_rng(seed)
    windows = tuple(
        Window(start=START + timedelta(weeks=n), end=START + timedelta(weeks=n + 1))
        for n in range(number)
    )
    age = np.arange(number) - np.arange(number + 1)[:, None]
    worth = 0.8 - 0.004 * age + dice.normal(0, 0.01, age.shape)
    return Made(worth, windows, set(dice.choice(number, 3).tolist()) - {0})


def spans(world: Made, turn: int = 6) -> tuple[Span, Span]:
    return (
        Span(world.ends[0], world.windows[:turn]),
        Span(world.ends[turn], world.windows[turn:]),
    )


def test_the_oracle_is_the_best_of_all_choices() -> None:
    worth = np.random.default_rng(3).normal(size=(6, 6))
    found = oracle.best(np.triu(worth))
    for most in range(6):
        every = [
            sum(worth[max(at for at in (0, *chosen) if at <= w), w] for w in range(6))
            for number in range(most + 1)
            for chosen in itertools.combinations(range(1, 6), number)
        ]
        assert found[most] == pytest.approx(max(every))


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_no_policy_is_better_than_the_oracle(seed: int) -> None:
    world = made(seed)
    _, span = spans(world)
    best = judging.frontier(world, span, "roc_auc")
    given = Retraining()
    for one in itertools.chain(*grid.all_of(given).values()):
        outcome = judging.outcome([world], span, one)
        assert outcome.quality <= best[len(outcome.walks[0].trained)] + 1e-12
    assert (np.diff(best) >= -1e-12).all()


def test_what_is_refused_is_trained_and_does_not_serve() -> None:
    world = made(1)
    span = Span(world.ends[0], world.windows)
    weekly = walk(world, span, grid.all_of(Retraining())[grid.WEEKLY][0])
    assert list(weekly.trained) == [w.end for w in world.windows[:-1]]
    refused = {world.ends[n] for n in world.refused}
    assert refused
    assert set(weekly.promoted) == set(weekly.trained) - refused
    champion = span.first
    for window, own in zip(world.windows, weekly.champions, strict=True):
        champion = window.start if window.start in weekly.promoted else champion
        assert own == champion


def test_limits_hold_in_the_walk() -> None:
    world = made(2)
    world.refused = set()
    told = Retraining(
        policies=(Policy(name="schedule", params={"days": 7}),), cool_down_days=14, most_a_month=1
    )
    ends = list(walk(world, Span(world.ends[0], world.windows), told).trained)
    assert [(b - a).days for a, b in itertools.pairwise(ends)] == [35] * (len(ends) - 1)


def test_a_choice_knows_nothing_of_what_comes_after_the_turn() -> None:
    worlds = [made(seed) for seed in (1, 2, 3)]
    given = Retraining(policies=(Policy(name="drift"),))
    both = spans(worlds[0])

    def judged() -> judging.Verdict:
        picked = judging.choose(worlds, both[0], given, "roc_auc")
        return judging.judge(worlds, both, picked, "roc_auc")

    first = judged()
    for world in worlds:
        world.worth[:, 6:] = np.random.default_rng(9).uniform(0.3, 0.9, world.worth[:, 6:].shape)
    second = judged()
    for one, other in zip(first.policies, second.policies, strict=True):
        assert one.chosen.retraining == other.chosen.retraining
        assert one.chosen.quality == other.chosen.quality
    assert not np.allclose(first.best, second.best)


def test_what_is_chosen_trains_half_as_often_as_every_week() -> None:
    worlds = [made(seed, 20) for seed in (4, 5)]
    span = Span(worlds[0].ends[0], worlds[0].windows)
    found = judging.choose(worlds, span, Retraining(), "roc_auc")
    assert grid.CONFIGURED not in found
    weekly = found[grid.WEEKLY][1].trained.mean()
    tried, ours = found[grid.OURS]
    assert (tried > 50, weekly) == (True, 19)
    assert 1 <= ours.trained.mean() <= weekly / 2
    assert ours.quality > found[grid.NEVER][1].quality


def test_too_little_history_says_what_is_wanted(
    place: SimpleNamespace, replayed: SimpleNamespace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["backtest", "-p", "returns", "--until", "2024-01-22"]) == 78
    assert "came 3 windows that are over" in capsys.readouterr().err
    assert main(["backtest", "-p", "returns", "--turn", "soon"]) == 78
    assert "--turn: came 'soon', wanted a day" in capsys.readouterr().err


def test_history_begins_with_a_model_that_passes() -> None:
    world = made(1)
    candidates: Mapping[datetime, Any] = dict.fromkeys(world.ends)
    ground = SimpleNamespace(candidates=candidates, passes=world.passes)
    world.refused = {0, 1, 6}
    early, late = judging.halves([ground], world.windows, world.ends[6])  # type: ignore[list-item]
    assert (early.first, early.windows) == (world.ends[2], world.windows[2:6])
    assert (late.first, late.windows) == (world.ends[5], world.windows[6:])
    world.refused = set(range(7))
    with pytest.raises(RejectedError, match="no model trained before 2024-02-12 passes"):
        judging.halves([ground], world.windows, world.ends[6])  # type: ignore[list-item]


def test_what_cannot_be_learned_is_nobodys_choice() -> None:
    ground = Ground(Environment(), SimpleNamespace(), 0, {})  # type: ignore[arg-type]
    assert not ground.passes(START, None)
