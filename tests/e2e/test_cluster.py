"""The loop with every task in a pod of a real cluster, while things break, held against files."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import pytest
import yaml

from ml_tasks.config import Environment
from ml_tasks.io import objects, runs, source
from ml_tasks.io.control import Control
from perennial import parity
from perennial.airflow_api import Airflow
from perennial.services import Services
from tests import whole
from tests.e2e import ends, loop, soak
from tests.e2e.conftest import NAME
from tests.e2e.faults import Faults, GoneError, command
from tests.e2e.loop import END, START
from tests.e2e.place import cluster, missing, place, stop_or_skip

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from kubernetes.client import CoreV1Api

    from ml_tasks.flow import Dag
    from tests.e2e.laptop import Laptop


T = TypeVar("T")

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

HASTY, HASTY_MINUTES = "hasty_delays", 0.4
"""The same product, whose `ingest` has less time."""
WAIT_SECONDS, LOOK_SECONDS = 600, 0.4
once = pytest.mark.flaky(reruns=0)
"""Where two tries gave the first test no loop, more would not either."""
REJECTED, RETRY = 65, 75
RECORD_SECONDS = 60
"""How long the record of an ingestion may take, which nobody waits for."""
FEW, START_SECONDS = 2, 3.0
"""How many faults are drawn, and how long a task's pod only imports."""
LATER: tuple[tuple[Dag, str], ...] = (
    ("ingestion", "derive"), ("ingestion", "materialise"), ("monitoring", "score"),
    ("monitoring", "monitor"),
)  # fmt: skip
"""What they may strike: the week after, when all that was planned has broken."""
GOES_ON = (
    "its processes are killed", "its pod is deleted", "it stands still for 20 s",
    "it stands still and is evicted",
)  # fmt: skip
"""After which nobody has to do anything."""
BREAKING = ("NODE_DOWN", "NODE_UP", "API_DOWN", "API_UP")


@pytest.fixture(scope="module")
def core() -> CoreV1Api:
    """A cluster whose pods reach this machine; skipped where there is none."""
    if said := missing():
        stop_or_skip(said)
    return cluster()


class Demo:
    """`perennial demo` as a person starts it, and the cluster beneath it."""

    def __init__(self, core: CoreV1Api, variables: dict[str, str]) -> None:
        self.variables, self.home = variables, Path(variables["PERENNIAL_HOME"])
        self.faults = Faults(core, variables["PERENNIAL_NAMESPACE"])
        self.struck: list[str] = []
        """Drawn faults that found something to strike."""
        self._commands: list[subprocess.Popen[str]] = []

    def command(self, *words: str) -> subprocess.Popen[str]:
        started = subprocess.Popen(
            [sys.executable, "-m", "perennial", *words],
            env={**os.environ, **self.variables},  # noqa: TID251
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._commands.append(started)
        return started

    def end(self) -> None:
        """End what was started here, commands and services."""
        for one in self._commands:
            one.kill()
            one.wait()
        down = self.command("down")
        said = down.communicate()[0]
        assert down.returncode == 0, said

    def start(self) -> subprocess.Popen[str]:
        return self.command("demo", "--pipeline", NAME, "--until", END, "--follow", "1")

    def running(self, demo: subprocess.Popen[str], task: str, count: int = 1) -> list[Any]:
        """Wait until a task's pods run."""
        limit = time.monotonic() + WAIT_SECONDS
        while True:
            now = [p for p in self.faults.pods(task) if p.status.phase == "Running"]
            if len(now) == count:
                return now
            assert demo.poll() is None, demo.communicate()[0]
            assert time.monotonic() < limit, f"{task} does not run"
            time.sleep(LOOK_SECONDS)

    def checkpointed(self, demo: subprocess.Popen[str]) -> None:
        """Wait until the training has written a checkpoint to the bucket."""
        root = f"{self.present().objects_root}/runs/{NAME}"
        limit = time.monotonic() + WAIT_SECONDS
        while not any("/train/checkpoints/" in one.uri for one in objects.find(root)):
            assert demo.poll() is None, demo.communicate()[0]
            assert time.monotonic() < limit, "there is no checkpoint"
            time.sleep(LOOK_SECONDS)

    def services(self) -> Services:
        """Give its services, which know what runs."""
        with pytest.MonkeyPatch.context() as patch:
            for name, value in self.variables.items():
                patch.setenv(name, value)
            from perennial.given import environment as given

            return Services(given())

    def present(self) -> Environment:
        """Give where its state lies, with the addresses of the services that run."""
        return self.services().present

    def kill(self, service: str) -> None:
        """Kill a service with all that it started."""
        known = json.loads((self.home / "services.json").read_text())
        os.killpg(os.getpgid(known[service]["pid"]), signal.SIGKILL)


@pytest.fixture(scope="module")
def demo(core: CoreV1Api, laptop: Laptop) -> Iterator[Demo]:
    """Run the loop in a place of its own while things break; each demo goes on from the last.

    All is made and removed here, so that a second try begins with nothing of the first.
    """
    with place(core) as variables, ExitStack() as after:
        pipelines = Path(variables["PERENNIAL_PIPELINES"])
        product = yaml.safe_load((pipelines / f"{NAME}.yaml").read_text())
        # One owner's products share a budget of alarms, and this one is on no laptop.
        product |= {"name": HASTY, "owner": "another"}
        given = product["resources"]["default"] | {"timeout_minutes": HASTY_MINUTES}
        product["resources"]["ingest"] = given
        (pipelines / f"{HASTY}.yaml").write_text(yaml.safe_dump(product))
        made = Demo(core, variables)
        after.callback(made.end)
        refused(made, "ingest", made.faults.use_memory, "resources.ingest.memory_gb")
        refused(made, "validate", made.faults.use_disk, "resources.validate.disk_gb")
        ended_with_its_scheduler(made, laptop)
        # Nodes and the API go away now, beneath those who share the cluster, too.
        with whole.alone(), ExitStack() as broken:
            broken.callback(made.faults.mend)
            goes_on(made, laptop)
        yield made


@pytest.fixture(scope="module")
def environment(demo: Demo) -> Environment:
    """Where the state of that demo lies."""
    return demo.present()


def refused(demo: Demo, task: str, strike: Callable[[Any], None], wanted: str) -> None:
    """Strike a task so that no other try would help; the demo says what would, and is done."""
    started = demo.start()
    (pod,) = demo.running(started, task)
    strike(pod)
    said = started.communicate()[0]
    assert started.returncode == REJECTED, said
    assert wanted in "".join(said.split("\n")), said


def ended_with_its_scheduler(demo: Demo, laptop: Laptop) -> None:
    """Go on until the scheduler is killed; who sees that has time for the laptop's run."""
    third = demo.start()
    demo.running(third, "derive")
    demo.kill("scheduler")
    laptop.start()
    said = third.communicate()[0]
    assert "scheduler ended" in said
    assert third.returncode == RETRY


def goes_on(demo: Demo, laptop: Laptop) -> None:
    """Go on to the end while one thing after the other breaks."""
    core, faults = demo.faults.core, demo.faults
    last = demo.start()
    if command("API_DOWN"):
        # Long enough before the training that nodes which could not be heard of are back for it.
        demo.running(last, "materialise")
        faults.take_api_away()
    pods = demo.running(last, "train", 2)
    assert len({pod.spec.node_name for pod in pods}) == min(len(core.list_node().items), 2)
    demo.checkpointed(last)
    faults.drain(pods[0])
    (pod,) = demo.running(last, "reference")
    faults.uncordon()
    # Not asked for where somebody else's nodes cannot be ended from here.
    if command("NODE_DOWN"):
        faults.end_node(pod)
    demo.struck = by_chance(demo, last, laptop)
    said = last.communicate()[0]
    assert last.returncode == 0, said
    assert "a pod adds" in said


@dataclass(slots=True)
class Beneath:
    """Whose tasks they strike."""

    faults: Faults
    settled: float = 0.0

    def launch_anew(self) -> None:
        """Of the scheduler's end the demo says so, and is over."""
        raise AssertionError("it is not among what is drawn")


def by_chance(demo: Demo, last: subprocess.Popen[str], laptop: Laptop) -> list[str]:
    """Strike some of what is still to run; each commit draws otherwise.

    A task that was over before it was struck has one of those that follow in its place.

    Returns:
        What was there to strike.
    """
    seed, on_files = str(source.commit(Environment())), laptop.environment()
    wanted = {fault.task for fault in soak.drawn(seed, 0, FEW, LATER, GOES_ON)}
    struck, missed = list[str](), 0
    for left, fault in zip(
        range(len(LATER), 0, -1), soak.drawn(seed, 1, len(LATER), LATER, GOES_ON), strict=True
    ):
        if fault.task not in wanted and not missed:
            continue
        took = runs.results(on_files, NAME, f"{fault.flow}-{END}")[fault.task].resources
        (pod,) = demo.running(last, fault.task)
        # None that follows could stand for this one: it is struck while it surely still runs.
        if FEW - len(struck) < left:
            time.sleep(fault.share * (START_SECONDS + took.wall_seconds))
        missed -= fault.task not in wanted
        try:
            soak.KINDS[fault.kind].strike(Beneath(demo.faults), pod)
            struck.append(str(fault))
        except GoneError:
            missed += 1
    return struck


def test_outputs_are_those_of_a_laptop(environment: Environment, laptop: Laptop) -> None:
    in_pods, on_files = loop.made(environment), loop.made(laptop.environment())
    assert in_pods == on_files
    assert len(in_pods) > 20
    assert {"score", "monitor"} <= {task for _, task, _ in in_pods}


@once
def test_a_drained_training_went_on_from_its_checkpoint(environment: Environment) -> None:
    head = Control(environment.control).champion(NAME)
    assert head is not None
    trained = runs.results(environment, NAME, head.run)["train"]
    assert trained.values["resumed_at_epoch"] >= 1


@once
def test_nothing_is_there_twice_and_nothing_is_left(environment: Environment, demo: Demo) -> None:
    from ml_tasks.io.registry import Registry

    control = Control(environment.control)
    assert [one.start[:10] for one in control.windows(NAME)] == [START, END]
    assert [t.outcome for t in control.triggers(NAME)] == ["promoted version 1"]
    assert len(control.audit(NAME)) == 1
    assert len(Registry(environment, NAME).versions()) == 1
    limit = time.monotonic() + RECORD_SECONDS
    while (left := ends.jobs(demo.faults.namespace)) and time.monotonic() < limit:
        time.sleep(LOOK_SECONDS)
    assert left == []


@once
@pytest.mark.usefixtures("environment")
def test_random_faults_found_something_to_strike(demo: Demo) -> None:
    assert len(demo.struck) == FEW, demo.struck


@once
@pytest.mark.skipif(
    os.environ.get("PERENNIAL_FAULTS") != "all",  # noqa: TID251 - a switch of the tests
    reason="the loop twice more, four minutes: PERENNIAL_FAULTS=all",
)
def test_a_parity_run_is_seen_nowhere(environment: Environment, demo: Demo) -> None:
    before, beside = ends.state(environment), ends.places(environment)
    ran = demo.command("parity", NAME, "--window", f"{START}/{END}")
    said = ran.communicate()[0]
    assert ran.returncode == 0, said
    assert "outputs are equal on local and kubernetes" in said
    rows = [line.split("\t") for line in said.splitlines() if line.count("\t") == 4]
    in_pods = loop.made(environment)
    assert {(r[0], r[1]): r[3] for r in rows}.items() <= {
        key[1:]: content[: parity.SHORT]
        for key, (content, _rows) in in_pods.items()
        if key[0] == "trained" or key[0].startswith(START)
    }.items()
    assert len(rows) > 15
    assert ends.state(environment) == before
    assert ends.places(environment) == beside


@once
@pytest.mark.skipif(
    os.environ.get("PERENNIAL_FAULTS") != "all",  # noqa: TID251 - a switch of the tests
    reason="two minutes of waiting: PERENNIAL_FAULTS=all",
)
def test_a_try_that_the_clock_or_a_person_ends_leaves_no_pod(
    environment: Environment, demo: Demo
) -> None:
    airflow, dag, uids = Airflow(demo.services()), f"{HASTY}__ingestion", list[str]()
    airflow.backfill(dag, START, START)
    (run,) = (one["dag_run_id"] for one in until(lambda: airflow.runs(dag)))

    def ingest() -> str:
        (one,) = (one for one in airflow.tasks(dag, run) if one["task_id"] == "ingest")
        return str(one["state"])

    def clear() -> None:
        body = {"dry_run": False, "dag_run_id": run, "task_ids": ["ingest"], "only_failed": False}
        airflow._ask("POST", f"/api/v2/dags/{dag}/clearTaskInstances", json=body)

    def fail() -> None:
        path = f"/api/v2/dags/{dag}/dagRuns/{run}/taskInstances/ingest"
        airflow._ask("PATCH", path, json={"new_state": "failed"})

    def begun() -> list[Any]:
        pods = demo.faults.pods("ingest")
        return [p for p in pods if p.status.phase == "Running" and p.metadata.uid not in uids]

    # Asleep long enough to be ended; awake again soon after, so that no pod needs all its grace.
    for end, asleep in ((None, 60 * HASTY_MINUTES + 2), (clear, 10), (fail, 10)):
        (pod,) = until(begun)
        uids.append(pod.metadata.uid)
        demo.faults.stop_for(pod, asleep)
        if end:
            until(lambda: ingest() == "deferred")
            end()
        until(lambda: uids[-1] not in {one.metadata.uid for one in demo.faults.pods("ingest")})
    until(lambda: not ends.jobs(demo.faults.namespace))
    assert ingest() == "failed"
    assert not begun()
    late = (
        f"it took longer than {timedelta(minutes=HASTY_MINUTES)}; resources.ingest.timeout_minutes"
    )
    assert any(late in line for line in airflow.log(dag, run, "ingest", 1))


def until(there: Callable[[], T]) -> T:
    """Wait for what is not empty or false."""
    limit = time.monotonic() + WAIT_SECONDS
    while not (found := there()):
        assert time.monotonic() < limit, f"not in {WAIT_SECONDS} s"
        time.sleep(0.5)
    return found


@once
@pytest.mark.usefixtures("environment")
def test_nodes_and_the_api_were_taken_away(demo: Demo) -> None:
    left = [f"PERENNIAL_TEST_{name}" for name in BREAKING if not command(name)]
    if left:
        stop_or_skip(f"{', '.join(left)} not set: nodes and the API were left alone")
    assert set(BREAKING) <= demo.faults.done
