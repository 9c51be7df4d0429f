"""Runs the loop in pods again and again while something breaks; the end must always be the same.

`python -m tests.e2e.soak --runs 100 --seed 1` draws for each run what breaks, beneath which task
and when, from the seed and the run's number: `--first 17 --runs 1` is the 17th again, and with
`--faults 3` each run has three, beneath as many tasks; `--beneath train` strikes that task alone,
one of its two ranks. A run begins with nothing, on servers and a
bucket of its own, and takes three weeks from ingestion to a promoted champion, each task in a pod.
One process launches the tasks and tries again what failed, as Airflow does and, where Airflow would
give up, a person; it is killed itself at times. Each run's final state is held against that of one
in which nothing broke. A line a run; 1 where a state differed.

It wants what `tests/e2e/test_cluster.py` wants; what `PERENNIAL_TEST_NODE_DOWN` and the other
commands of `tests/e2e/faults.py` are not given for is not drawn.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import tempfile
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from perennial import console
from perennial.given import environment as given
from perennial.services import Services
from tests.e2e import conductor, ends
from tests.e2e.faults import AWAY_SECONDS, Faults, GoneError, command
from tests.e2e.place import cluster, missing, place
from tests.faults.states import differences

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Mapping, Sequence
    from multiprocessing.process import BaseProcess

    from kubernetes.client import CoreV1Api

TASKS = tuple((flow, step.task) for flow, step in conductor.STEPS)
RUN_SECONDS, LOOK_SECONDS = 1800, 0.2
AWAKE_SECONDS = 150
"""Longer than it takes until a silent node's pods are given up."""
SHOWN = 5


@dataclass(frozen=True, slots=True)
class Fault:
    """What breaks in a run, beneath which task, and when: a share of the time that it takes."""

    kind: str
    flow: str
    task: str
    share: float

    def __str__(self) -> str:
        return f"{self.flow} {self.task} at {self.share:.0%}: {self.kind}"


def drawn(
    seed: int | str,
    number: int,
    count: int = 1,
    beneath: Sequence[tuple[str, str]] = TASKS,
    among: Collection[str] = (),
) -> list[Fault]:
    """Draw the faults of a run, each beneath another task; of two nodes one may go.

    Args:
        seed: Of the draws.
        number: Of the run.
        count: How many faults.
        beneath: Flows and tasks, in the order in which they run.
        among: Kinds; all when empty.
    """
    dice = random.Random(f"{seed} {number}")  # noqa: S311 - no secret
    given = [kind for kind, of in KINDS.items() if all(map(command, of.wanted))]
    kinds = [kind for kind in given if not among or kind in among]
    found: list[Fault] = []
    for flow, task in dice.sample(beneath, count):
        kind = dice.choice(kinds)
        if KINDS[kind].takes_node:
            kinds = [one for one in kinds if not KINDS[one].takes_node]
        found.append(Fault(kind, flow, task, dice.random()))
    return sorted(found, key=lambda one: beneath.index((one.flow, one.task)))


@dataclass(slots=True)
class Ended:
    """A run that came to its end."""

    state: dict[str, Any]
    took: float
    seconds: Mapping[str, float]
    """How long each task's pod was there."""
    tries: str
    early: list[str]
    """Tasks that were over before they were struck."""


@dataclass(slots=True)
class Run:
    """One run, and the faults in it."""

    variables: Mapping[str, str]
    faults: Faults
    drawn: Sequence[Fault]
    conductor: BaseProcess = field(init=False)
    settled: float = 0.0
    """Until when something may still wake up."""

    @property
    def log(self) -> Path:
        return Path(self.variables["PERENNIAL_HOME"]).with_name("log")

    def go(self, usual: Mapping[str, float]) -> list[str]:
        """Run to the end; name the tasks that were over before they were struck."""
        self.conductor = conductor.start(self.variables, self.log)
        try:
            early = self._watched(usual)
        finally:
            self.conductor.kill()
            self.conductor.join()
        return early

    def _watched(self, usual: Mapping[str, float]) -> list[str]:
        waiting, early = list(self.drawn), []
        limit = time.monotonic() + RUN_SECONDS
        while self.conductor.exitcode is None:
            assert time.monotonic() < limit, f"no end after {RUN_SECONDS} s"
            for fault in waiting:
                if not (pods := self._running(fault)):
                    continue
                waiting.remove(fault)
                time.sleep(fault.share * usual[f"{fault.flow}-{fault.task}"])
                if not self._strike(fault.kind, pods[int(100 * fault.share) % len(pods)]):
                    early.append(fault.task)
                break
            time.sleep(LOOK_SECONDS)
        assert self.conductor.exitcode == 0, f"ended with {self.conductor.exitcode}"
        time.sleep(max(0.0, self.settled - time.monotonic()))
        return early + [fault.task for fault in waiting]

    def _running(self, fault: Fault) -> list[Any]:
        """Give the task's pods once they all run."""
        found = [
            pod
            for pod in self.faults.pods(fault.task)
            if pod.metadata.labels["perennial/run"] == fault.flow and pod.status.phase == "Running"
        ]
        return found if len(found) == (2 if fault.task == "train" else 1) else []

    def _strike(self, kind: str, pod: Any) -> bool:
        """Break it; tell whether the pod was still there."""
        try:
            KINDS[kind].strike(self, pod)
        except GoneError:
            return False
        return True

    def launch_anew(self) -> None:
        """Kill what launches the tasks; another goes on."""
        self.conductor.kill()
        self.conductor.join()
        self.conductor = conductor.start(self.variables, self.log)


class Struck(Protocol):
    """Whose tasks something breaks beneath."""

    settled: float

    @property
    def faults(self) -> Faults: ...

    def launch_anew(self) -> None: ...


def stop_and_evict(run: Struck, pod: Any) -> None:
    run.faults.stop(pod)
    run.faults.evict(pod)


def stop_unseen(run: Struck, pod: Any) -> None:
    """Let it wake up when another has taken its place."""
    run.faults.stop_for(pod, AWAKE_SECONDS)
    run.settled = time.monotonic() + AWAKE_SECONDS + AWAY_SECONDS
    run.faults.end_node(pod, "NODE_SILENT")


@dataclass(frozen=True, slots=True)
class Kind:
    """One way to break something, and the commands that it takes."""

    strike: Callable[[Struck, Any], None]
    wanted: tuple[str, ...] = ()
    takes_node: bool = False


KINDS = {
    "its processes are killed": Kind(lambda run, pod: run.faults.kill(pod)),
    "its pod is deleted": Kind(lambda run, pod: run.faults.delete(pod)),
    "its node is drained": Kind(lambda run, pod: run.faults.drain(pod), takes_node=True),
    "out of memory": Kind(lambda run, pod: run.faults.use_memory(pod)),
    "over its disk limit": Kind(lambda run, pod: run.faults.use_disk(pod)),
    "it stands still for 20 s": Kind(lambda run, pod: run.faults.stop_for(pod, AWAY_SECONDS)),
    "it stands still and is evicted": Kind(stop_and_evict),
    "its launcher is killed": Kind(lambda run, _pod: run.launch_anew()),
    "the API is away for 20 s": Kind(
        lambda run, _pod: run.faults.take_api_away(), ("API_DOWN", "API_UP")
    ),
    "its node dies": Kind(
        lambda run, pod: run.faults.end_node(pod), ("NODE_DOWN", "NODE_UP"), True
    ),
    "its node falls silent, its pod runs on": Kind(
        lambda run, pod: run.faults.end_node(pod, "NODE_SILENT"), ("NODE_SILENT", "NODE_UP"), True
    ),
    "its node falls silent, it stands still and goes on later": Kind(
        stop_unseen, ("NODE_SILENT", "NODE_UP"), True
    ),
}


def once(core: CoreV1Api, faults: Sequence[Fault], usual: Mapping[str, float]) -> Ended:
    """Run in a place of its own; give what it left."""
    with place(core) as variables:
        os.environ.update(variables)  # noqa: TID251 - of our own process
        services = Services(given(), airflow=False)
        run = Run(variables, Faults(core, variables["PERENNIAL_NAMESPACE"]), faults)
        try:
            services.up(lambda _name, _seconds: None)
            began = time.monotonic()
            early = run.go(usual)
            took = time.monotonic() - began
            run.faults.mend()
            environment = services.present
            tries = {f.stem: f.read_text() for f in sorted(services.home.glob("*.done"))}
            return Ended(
                ends.state(environment), took, ends.seconds(environment),
                ", ".join(f"{task}: {n} tries" for task, n in tries.items() if n != "1"), early,
            )  # fmt: skip
        except BaseException:
            if run.log.exists():
                kept = shutil.copy(run.log, tempfile.mkdtemp(prefix="soak-"))
                console.plain(f"what its launcher said: {kept}")
            raise
        finally:
            run.faults.mend()
            services.down()


def without_fault(core: CoreV1Api, kept: Path | None) -> Ended:
    """Give what all runs are held against: as it was kept, else by a run."""
    if kept is not None and kept.exists():
        return Ended(**json.loads(kept.read_text()))
    made = once(core, (), {})
    console.plain(f"without a fault: {made.took:.0f} s")
    if kept is not None:
        kept.write_text(json.dumps(asdict(made)))
    return made


@dataclass(frozen=True, slots=True)
class Held:
    """A run beside the one in which nothing broke."""

    word: str
    """How it went."""
    wrong: list[str]
    """In what it ended otherwise."""
    struck: bool = True
    """Something was still there to be struck."""


def held(core: CoreV1Api, faults: Sequence[Fault], unbroken: Ended) -> Held:
    """Run with faults, and compare."""
    try:
        ended = once(core, faults, unbroken.seconds)
    except AssertionError as fault:
        return Held("not done", [str(fault)])
    early = f", {', '.join(ended.early)} over before" if ended.early else ""
    tries = f", {ended.tries}" if ended.tries else ""
    wrong = list(differences(unbroken.state, ended.state))
    return Held(f"{ended.took:.0f} s{early}{tries}", wrong, len(ended.early) < len(faults))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run as often as asked for; 1 where a run did not end as it should."""
    parser = argparse.ArgumentParser(prog="python -m tests.e2e.soak", description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--faults", type=int, default=1, help="how many in each run")
    tasks = sorted({task for _flow, task in TASKS})
    parser.add_argument("--beneath", choices=tasks, help="beneath which task; any when not given")
    parser.add_argument("--first", type=int, default=1, help="number of the first run")
    parser.add_argument("--unbroken", type=Path, help="file of the run without a fault, kept")
    asked = parser.parse_args(arguments)
    if said := missing():
        parser.error(said)
    beneath = [one for one in TASKS if asked.beneath in (None, one[1])]
    if asked.faults > len(beneath):
        parser.error(f"--faults: came {asked.faults}, wanted {len(beneath)} at most: one a task")
    core = cluster()
    unbroken = without_fault(core, asked.unbroken)
    made: list[Held] = []
    for number in range(asked.first, asked.first + asked.runs):
        faults = drawn(asked.seed, number, asked.faults, beneath)
        made.append(one := held(core, faults, unbroken))
        said = "; ".join(one.wrong[:SHOWN]) or "the same end"
        console.plain(f"{number}: {', '.join(map(str, faults))}: {one.word}: {said}")
    good = sum(not one.wrong for one in made)
    missed = sum(not one.struck for one in made)
    console.plain(
        f"{good} of {asked.runs} runs ended as the one without a fault"
        + (f"; in {missed} runs nothing was left to strike" if missed else "")
    )
    return int(good < asked.runs or 0 < missed == asked.runs)


if __name__ == "__main__":
    raise SystemExit(main())
