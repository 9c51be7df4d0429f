"""What a training at a week's end gives: the platform's tasks, on what was known then."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, time
from functools import cache
from importlib import metadata
from typing import TYPE_CHECKING

from ml_tasks import assemble, reference
from ml_tasks.errors import RejectedError
from ml_tasks.flow import step
from ml_tasks.gates.verdict import Measured
from ml_tasks.io import objects
from ml_tasks.result import Window
from ml_tasks.training import champion
from perennial.backtesting import steps

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.result import Result
    from ml_tasks.training.champion import Stored

CALCULATING = (
    "alibi-detect", "duckdb", "feast", "lightgbm", "numpy", "onnxruntime", "polars", "pyarrow",
    "scikit-learn", "scipy", "torch",
)  # fmt: skip
TASKS = ("assemble", "prove", "train", "baseline", "evaluate")


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model, and what was measured of it."""

    end: datetime
    """End of what it learned from."""
    seed: int
    results: dict[str, Result]
    """By task."""

    @property
    def version(self) -> str:
        """A name that no other candidate has."""
        return f"{self.end:%Y-%m-%d}-{self.seed}"

    @property
    def digest(self) -> str:
        """Hash of its weights."""
        return self.results["train"].outputs["model"].content_hash

    @property
    def learned(self) -> Window:
        """The window that it learned from, validation and test included."""
        window = self.results["assemble"].window
        if window is None:
            raise ValueError(f"{self.version}: its set has no window")
        return window

    @property
    def measured(self) -> Measured:
        """What was measured of it on its test rows, beside the baselines."""
        return Measured.model_validate_json(objects.read_bytes(self.uri("evaluate", "evaluation")))

    @property
    def stored(self) -> Stored:
        """The model."""
        return champion.stored(self.uri("train", "onnx"), self.uri("train", "description"))

    def uri(self, task: str, name: str) -> str:
        """Give the address of one of its objects."""
        return str(self.results[task].outputs[name].uri)


def ends(pipeline: Pipeline, windows: Sequence[Window]) -> list[datetime]:
    """Give the windows' ends at which a training can be: it learns for as long as it validates."""
    found = []
    for window in windows:
        try:
            train = assemble.ranges(_learned(pipeline, window.end), pipeline.split)["train"]
        except RejectedError:
            continue
        if (train.end - train.start).days >= pipeline.split.validation_days:
            found.append(window.end)
    return found


def find(
    environment: Environment, pipeline: Pipeline, end: datetime, seed: int
) -> Candidate | None:
    """Give a candidate that was made before."""
    pipeline = _bare(pipeline, seed)
    done: dict[str, Result] = {}
    for task in TASKS:
        run = _run(environment, pipeline, task, end, done)
        there = steps.found(environment, pipeline.name, task, run)
        if there is None:
            return None
        done[task] = there
    return Candidate(end, seed, done)


def make(environment: Environment, pipeline: Pipeline, end: datetime, seed: int) -> Candidate:
    """Train at a window's end, by the platform's own tasks; what is there is read.

    Raises:
        RejectedError: Nothing can be learned from the rows until then.
    """
    pipeline, window = _bare(pipeline, seed), _learned(pipeline, end)
    done: dict[str, Result] = {}
    for task in TASKS:
        needs = {name: done[name] for name in NEEDS[task]}
        run = _run(environment, pipeline, task, end, done)
        done[task] = steps.once(environment, pipeline, task, run=run, window=window, needs=needs)
    return Candidate(end, seed, done)


def watching(environment: Environment, pipeline: Pipeline, candidate: Candidate) -> str:
    """Name the run in which what a candidate is watched with is fitted."""
    bare = _bare(pipeline, candidate.seed)
    return _run(environment, bare, "reference", candidate.end, candidate.results)


def reference_of(environment: Environment, pipeline: Pipeline, candidate: Candidate) -> str:
    """Fit what a candidate is watched with; give its address."""
    result = steps.once(
        environment,
        _bare(pipeline, candidate.seed),
        "reference",
        run=watching(environment, pipeline, candidate),
        window=candidate.learned,
        needs={name: candidate.results[name] for name in NEEDS["reference"]},
        does=reference.fitted,  # whoever is asked for here has passed on some policy's way
    )
    return str(result.outputs["reference"].uri)


NEEDS = {
    task: tuple(need for need in step(task, "training").needs if need in TASKS)
    for task in (*TASKS, "reference")
}
"""As in the flow, but for the verdict: the way of a policy judges by itself."""
GIVES = {"assemble": "set", "prove": "leaks", "train": "model", "baseline": "predictions"}
"""What others stand on: how much memory it took is not among it."""


def _bare(pipeline: Pipeline, seed: int) -> Pipeline:
    """Give the product with a seed, and of its baselines those that a gate names."""
    evaluation = pipeline.evaluation
    named = {
        value
        for gate in evaluation.gates
        for value in gate.params.values()
        if isinstance(value, str)
    }
    baselines = tuple(name for name in evaluation.baselines if name in named)
    return pipeline.model_copy(
        update={
            "training": pipeline.training.model_copy(update={"seed": seed}),
            "evaluation": evaluation.model_copy(update={"baselines": baselines}),
        }
    )


def _learned(pipeline: Pipeline, end: datetime) -> Window:
    return Window(start=datetime.combine(pipeline.schedule.start, time(), end.tzinfo), end=end)


def _run(
    environment: Environment, pipeline: Pipeline, task: str, end: datetime, done: dict[str, Result]
) -> str:
    """Name a task's run after all that it stands on: of the config what it reads, and no more."""
    told = pipeline.model_dump(mode="json")
    evaluation, monitoring = told["evaluation"], told["monitoring"]
    read = {
        "assemble": [told["label"], told["split"], told["features"], evaluation["segments"]],
        "prove": [told["label"], told["features"]],
        "train": [told["training"]],
        "baseline": [evaluation["baselines"]],
        "reference": [
            evaluation["metric"],
            *(monitoring[name] for name in ("engine", "drift", "outlier_share")),
            str(reference.part(pipeline, environment)),
        ],
        "evaluate": [
            evaluation[name] for name in ("metric", "baselines", "segments", "bootstrap_samples")
        ],
    }[task]
    hashes = [done[name].outputs[GIVES[name]].content_hash for name in NEEDS[task]]
    seed = "" if task in ("assemble", "prove") else f"-{pipeline.training.seed}"
    return f"{end:%Y-%m-%d}{seed}-{steps.key(task, read, hashes, _packages())}"


@cache
def _packages() -> list[str]:
    """Give the versions of what the figures stand on; the lock has more, which changes nothing."""
    return [f"{name}=={metadata.version(name)}" for name in CALCULATING]
