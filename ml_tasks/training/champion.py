"""Models as they were trained: the candidate's, and the champion's that its verdict is about."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_tasks.errors import ConfigError, NothingToDo
from ml_tasks.gates.verdict import Measured, Verdict
from ml_tasks.io import objects, runs
from ml_tasks.models.spec import Spec

if TYPE_CHECKING:
    from ml_tasks.config import Environment
    from ml_tasks.context import Context
    from ml_tasks.io.champions import Head
    from ml_tasks.result import Result, Window


@dataclass(frozen=True, slots=True)
class Stored:
    """A trained model as it lies among the objects."""

    graph: str
    """Address of the ONNX graph."""
    spec: Spec
    weights: str
    """Hash of its weights."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Names of the columns that it takes in."""
        return (*self.spec.numeric, *self.spec.categorical)


def stored(graph: str, about: str) -> Stored:
    """Read what is said of a model.

    Args:
        graph: Address of the ONNX graph.
        about: Address of its description.
    """
    description = json.loads(objects.read_text(about))
    spec = Spec.model_validate(description["spec"])
    return Stored(graph, spec, description["weights_hash"])


def trained(context: Context) -> Stored:
    """Give the model that was trained in a task's run.

    Raises:
        ConfigError: `train` left none.
    """
    graph, about = context.output("train", "onnx"), context.output("train", "description")
    if graph.uri is None or about.uri is None:
        raise ConfigError("train's outputs are no objects; run train again")
    return stored(graph.uri, about.uri)


def of_head(environment: Environment, head: Head) -> Stored:
    """Give the champion's model.

    Raises:
        ConfigError: Its objects are gone.
    """
    folder = f"{environment.run_folder(head.pipeline, head.run)}/train"
    wanted = _candidate(head)
    for found in objects.find(folder):
        if not found.uri.endswith("/model.onnx"):
            continue
        model = stored(found.uri, found.uri.replace("model.onnx", "model.json"))
        if model.weights == wanted:
            return model
    raise ConfigError(
        f"champion {head.version} of {head.pipeline}: no model {wanted[:12]} under {folder}; "
        "restore that run's objects, or promote another version"
    )


def learned(environment: Environment, head: Head) -> Window:
    """Give the window that the champion learned from, its validation and test included.

    Raises:
        ConfigError: Its run does not say so any more.
    """
    window = _of_run(environment, head, "assemble").window
    if window is None:
        raise _gone(head, "what it learned from")
    return window


def unlearned(environment: Environment, head: Head | None, window: Window) -> Head:
    """Give the champion if it did not learn from a window, so that it can be watched in it.

    Raises:
        NothingToDo: It did, or there is none.
        ConfigError: Its run does not say any more what it learned from.
    """
    if head is None:
        raise NothingToDo("there is no champion yet; train one")
    known = learned(environment, head)
    if window.start < known.end:
        raise NothingToDo(
            f"{window}: champion {head.version} learned from {known}, which it cannot be "
            "watched on; wanted a later window"
        )
    return head


def judged(environment: Environment, head: Head) -> Measured:
    """Give what was measured of the champion when it was judged.

    Raises:
        ConfigError: Its run does not say so any more.
    """
    output = _of_run(environment, head, "evaluate").outputs.get("evaluation")
    if output is None or output.uri is None:
        raise _gone(head, "what was measured")
    return Measured.model_validate_json(objects.read_bytes(output.uri))


def reference(environment: Environment, head: Head) -> str:
    """Give the address of what the champion is watched with: the newest that is of its model.

    Raises:
        ConfigError: Its run has left none.
    """
    wanted = _candidate(head)
    found = [
        one.result
        for one in runs.tries(environment, head.pipeline, head.run)
        if one.task == "reference" and one.result is not None
    ]
    # Its run may have been cleared since, and refused: nobody is better than itself.
    for result in sorted(found, key=lambda one: one.attempt, reverse=True):
        output = result.outputs.get("reference")
        same = result.values.get("weights_hash", wanted) == wanted
        if same and output is not None and output.uri is not None:
            return output.uri
    raise _gone(head, "what it is watched with")


def _of_run(environment: Environment, head: Head, task: str) -> Result:
    results = runs.results(environment, head.pipeline, head.run)
    if task not in results:
        raise _gone(head, f"what {task} gave")
    return results[task]


def _gone(head: Head, what: str) -> ConfigError:
    return ConfigError(
        f"champion {head.version} of {head.pipeline}: run {head.run} does not say any more {what}; "
        "restore that run's objects, or promote another version"
    )


def _candidate(head: Head) -> str:
    try:
        return Verdict.model_validate_json(objects.read_bytes(head.verdict_uri)).candidate
    except FileNotFoundError as fault:
        raise ConfigError(
            f"champion {head.version} of {head.pipeline}: no verdict at {head.verdict_uri}; "
            "restore that run's objects, or promote another version"
        ) from fault
