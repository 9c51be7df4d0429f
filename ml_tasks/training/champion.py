"""The champion's model, from the run that trained it: the very one that its verdict is about."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from ml_tasks.errors import ConfigError
from ml_tasks.gates.verdict import Verdict
from ml_tasks.io import objects, runs
from ml_tasks.models.spec import Spec

if TYPE_CHECKING:
    from ml_tasks.config import Environment
    from ml_tasks.io.champions import Head


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


def of_head(environment: Environment, head: Head) -> Stored:
    """Give the champion's model.

    Raises:
        ConfigError: Its objects are gone.
    """
    folder = f"{runs.root(environment, head.pipeline, head.run)}/train"
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


def _candidate(head: Head) -> str:
    try:
        return Verdict.model_validate_json(objects.read_bytes(head.verdict_uri)).candidate
    except FileNotFoundError as fault:
        raise ConfigError(
            f"champion {head.version} of {head.pipeline}: no verdict at {head.verdict_uri}; "
            "restore that run's objects, or promote another version"
        ) from fault
