"""Which weeks go by, whose trainings are followed, and what waits for what."""

from __future__ import annotations

import json
import threading
import time
from contextlib import contextmanager, nullcontext
from datetime import date
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from ml_launch.outcome import Outcome

from ml_tasks import config
from ml_tasks.config import Environment
from ml_tasks.errors import BackendError, ConfigError, ExitCode, RejectedError
from ml_tasks.io.control import Control
from ml_tasks.result import Failure, Window
from perennial import loop, runner, weeks, year
from perennial.__main__ import main
from perennial.here import Here
from perennial.loop import Loop
from perennial.runner import Done
from perennial.windows import named, windows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from ml_tasks.flow import Step

PIPELINE = config.load("flight_delays")
WEEK = Window.parse("2013-02-05/2013-02-12")
UNTIL = str(weeks.wanted(PIPELINE, WEEK.end))
MONITORING = "flight_delays__monitoring"


@pytest.fixture
def control(home: object) -> Control:
    made = Control(Environment().control)
    made.migrate()
    return made


@pytest.fixture
def ran(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, str]]:
    """Runs and tasks of which the real flow said that they are to be started."""
    found: list[tuple[str, str]] = []

    def run_task(_environment: object, _pipeline: object, place: Step, **given: Any) -> Done:
        found.append((given["run"], place.task))
        made: Any = SimpleNamespace(error=None)
        return Done(place.task, Outcome(ExitCode.OK, made))

    monkeypatch.setattr(runner, "run_task", run_task)
    return found


def here(doing: list[str]) -> Here:
    return Here(Environment(), PIPELINE, [], doing.append)


def test_the_last_window_begins_by_the_schedules_end() -> None:
    assert str(windows(PIPELINE)[-1]) == "2013-12-31/2014-01-07"
    assert str(weeks.chosen(PIPELINE, "", "")[-1]) == "2013-12-31/2014-01-07"
    assert weeks.following(PIPELINE, windows(PIPELINE)[-2].end, 9) == [windows(PIPELINE)[-1]]


def test_until_a_day_means_what_ends_by_it() -> None:
    assert [str(one) for one in named(PIPELINE, "2013-01-15")] == [
        "2013-01-01/2013-01-08", "2013-01-08/2013-01-15",
    ]  # fmt: skip
    assert str(windows(PIPELINE, date(2013, 12, 31))[-1]) == "2013-12-24/2013-12-31"
    with pytest.raises(ConfigError, match="came 2013-01-07, wanted 2013-01-08 at least"):
        named(PIPELINE, "2013-01-07")


def test_a_window_that_is_not_over_is_none_yet() -> None:
    schedule = PIPELINE.schedule.model_copy(update={"start": date(2090, 1, 3), "end": None})
    later = PIPELINE.model_copy(update={"schedule": schedule})
    assert windows(later, date(2091, 1, 1)) == []
    with pytest.raises(ConfigError, match="wanted 2090-01-10 at least"):
        named(later, "")


def test_whoever_asks_is_followed(control: Control) -> None:
    asking = ("monitor", "outside", "schedule", "manual")
    for cause in asking:
        control.ask("flight_delays", cause, UNTIL, who="x", evidence={})
    earlier = weeks.wanted(PIPELINE, WEEK.start)
    control.ask("flight_delays", "outside", str(earlier), who="x", evidence={})
    assert {one.cause for one in weeks.asked(control, PIPELINE, WEEK)} == set(asking)


def test_a_replay_is_a_run_of_its_own(control: Control, ran: list[tuple[str, str]]) -> None:
    first, _new = control.ask("flight_delays", "monitor", UNTIL, who="x", evidence={})
    outside, _new = control.ask("flight_delays", "outside", UNTIL, who="x", evidence={})
    again = control.replay(first.id, who="x", why="once more")
    with here([]) as stage:
        for one in (outside, again, first):
            stage.train(one)
        control.claim(first.id, "year-training-2013-02-12")
        stage.train(control.trigger(first.id))
        decided = control.replay(again.id, who="x", why="and again")
        stage.train(decided)
    names = [run for run, task in ran if task == "claim"]
    assert names == [
        f"year-training-2013-02-12-{outside.id}",
        f"year-training-2013-02-12-{again.id}",
        "year-training-2013-02-12",
        "year-training-2013-02-12",
        f"year-training-2013-02-12-{decided.id}",
    ]


def test_what_comes_in_ahead_begins_where_a_core_is_free_and_nobody_else_waits_for_it(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("prove", "train", "baseline")
    busy, over = threading.Barrier(3), {name: threading.Event() for name in names}
    begun = {name: threading.Event() for name in ("validate", "train", "baseline")}

    def run_task(_environment: object, _pipeline: object, place: Step, **_given: Any) -> Done:
        made: Any = SimpleNamespace(error=None)
        if place.task in begun:
            begun[place.task].set()
        if place.task in ("ingest", "prove", "train"):
            busy.wait(20)
        if place.task in over:
            over[place.task].wait(20)
        return Done(place.task, Outcome(ExitCode.OK, made))

    monkeypatch.setattr(runner, "run_task", run_task)
    monkeypatch.setattr("perennial.here.os.cpu_count", lambda: 2)
    trigger, _new = control.ask("flight_delays", "monitor", UNTIL, who="x", evidence={})
    with Here(Environment(), PIPELINE, [WEEK], str) as stage:
        training = threading.Thread(target=stage.train, args=(trigger,))
        training.start()
        assert begun["train"].wait(20)
        assert not begun["baseline"].wait(0.3)
        over["prove"].set()
        assert begun["baseline"].wait(20)
        assert not begun["validate"].wait(0.3)
        over["baseline"].set()
        assert begun["validate"].wait(20)
        over["train"].set()
        training.join(20)
        stage.ingest(WEEK)


def test_records_are_waited_for_and_their_faults_told(
    control: Control, ran: list[tuple[str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = runner.run_task

    def run_task(environment: Any, pipeline: Any, place: Step, **given: Any) -> Done:
        done = good(environment, pipeline, place, **given)
        bad = place.task == "record" and given["run"].endswith("02-05")
        return Done(place.task, Outcome(65, None, final=True), "c.json") if bad else done

    monkeypatch.setattr(runner, "run_task", run_task)
    later = Window.parse("2013-02-12/2013-02-19")
    with here([]) as stage:
        stage.watch(WEEK)
        stage.watch(later)
        with pytest.raises(RejectedError, match=r"record: .* exit code 65(.|\n)*repro c\.json"):
            stage.settle()
    assert [run for run, task in ran if task == "record"] == [
        "year-monitoring-2013-02-05", "year-monitoring-2013-02-12",
    ]  # fmt: skip


def test_a_week_for_which_nothing_was_delivered_ends_them(
    control: Control,
    ran: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    good = runner.run_task
    failure = Failure(kind="SourceError", message="nothing was delivered", exit_code=65)

    def run_task(environment: Any, pipeline: Any, place: Step, **given: Any) -> Done:
        if place.task == "ingest" and given["run"].endswith("12-24"):
            made: Any = SimpleNamespace(error=failure)
            return Done(place.task, Outcome(65, made))
        return good(environment, pipeline, place, **given)

    @contextmanager
    def stage(_services: object, pipeline: Any, wanted: Any, doing: Any) -> Iterator[Here]:
        with Here(Environment(), pipeline, wanted, doing) as made:
            yield made

    monkeypatch.setattr(runner, "run_task", run_task)
    monkeypatch.setattr(year, "_running", lambda _services, _out: nullcontext())
    monkeypatch.setattr(year, "_stage", stage)
    for until, code in (("2013-12-31", 0), ("2014-01-07", 65)):
        words = ("year", "--from", "2013-12-17", "--until", until, "--json")
        assert main(words) == code
        said = capsys.readouterr()
        assert "the weeks end with 2013-12-24: ingest: nothing was delivered" in said.err
        told = json.loads(said.out)["weeks"]
        assert [one["window"] for one in told] == ["2013-12-17/2013-12-24"]


@pytest.mark.parametrize("fault", [None, KeyboardInterrupt])
def test_only_a_fault_cancels_records(
    control: Control,
    ran: list[tuple[str, str]],
    monkeypatch: pytest.MonkeyPatch,
    fault: type[BaseException] | None,
) -> None:
    good, held, over = runner.run_task, threading.Event(), threading.Event()

    def run_task(environment: Any, pipeline: Any, place: Step, **given: Any) -> Done:
        if place.task == "record":
            held.set()
            over.wait(20)
        return good(environment, pipeline, place, **given)

    monkeypatch.setattr(runner, "run_task", run_task)
    stage = here([])
    stage.__enter__()
    for day in ("2013-02-05/2013-02-12", "2013-02-12/2013-02-19"):
        stage.watch(Window.parse(day))
    assert held.wait(20)
    ending = threading.Thread(target=stage.__exit__, args=(fault, None, None))
    ending.start()
    while fault and not stage._recorded[1].cancelled() and ending.is_alive():
        time.sleep(0.01)
    over.set()
    ending.join(20)
    recorded = [run for run, task in ran if task == "record"]
    assert len(recorded) == (2 if fault is None else 1)


class Deaf:
    """An Airflow that has read all DAGs, and in which nothing begins."""

    def __init__(self, paused: set[str]) -> None:
        self._paused, self.emitted = paused, 0

    def known(self, _dag: str) -> bool:
        return True

    def paused(self, dag: str) -> bool:
        return dag in self._paused

    def runs(self, _dag: str, *, key: str) -> list[dict[str, Any]]:
        assert key == "2013-02-05"
        return []

    def emit(self, _asset: str, _key: str, _extra: object) -> None:
        self.emitted += 1


def looking(control: Control, airflow: Deaf) -> Loop:
    services: Any = SimpleNamespace(dead=list, airflow_url="http://here:8080")
    return Loop(services, PIPELINE, control, airflow)  # type: ignore[arg-type]


def test_a_paused_dag_is_said_at_once(control: Control) -> None:
    waits = looking(control, Deaf({MONITORING}))
    with pytest.raises(ConfigError, match=f"{MONITORING} is paused.*here:8080/dags/{MONITORING}"):
        waits.watch("2013-02-05", lambda _done, _doing: None)


def test_a_run_that_never_begins_is_not_waited_for_without_end(
    control: Control, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, seconds in (("POLL_SECONDS", 0.01), ("DAG_SECONDS", 0), ("PATIENCE_SECONDS", 0.05)):
        monkeypatch.setattr(loop, name, seconds)
    airflow = Deaf(set())
    with pytest.raises(BackendError, match="the monitoring of 2013-02-05: nothing has changed"):
        looking(control, airflow).watch("2013-02-05", lambda _done, _doing: None)
    assert airflow.emitted
