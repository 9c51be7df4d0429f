"""Registers a model version in MLflow; refuses without a verdict that passed."""

from __future__ import annotations

import json
import logging
from typing import TYPE_CHECKING, Any

import numpy as np

from ml_tasks.errors import ConfigError, RejectedError
from ml_tasks.gates.passing import passed_verdict
from ml_tasks.io import objects, source
from ml_tasks.io.content import bytes_hash
from ml_tasks.io.control import Control
from ml_tasks.io.registry import RUN, Registry
from ml_tasks.models.predict import OnnxModel
from ml_tasks.models.spec import Spec

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_tasks.config import Pipeline
    from ml_tasks.context import Context
    from ml_tasks.gates.verdict import Verdict
    from ml_tasks.io.control import Lease
    from ml_tasks.result import Result

log = logging.getLogger(__name__)
EXAMPLE_ROWS = 3


def next_version(tags: Mapping[str, str], before: Sequence[Mapping[str, str]]) -> str:
    """Give the semantic version that follows.

    Features or target changed: major. Architecture or hyper-parameters changed: minor. Only the
    data changed: patch.

    Args:
        tags: `features_hash` and `training_hash` of the new version.
        before: Tags of the earlier versions, newest first.
    """
    if not before:
        return "1.0.0"
    last = before[0]
    major, minor, patch = map(int, last["semantic_version"].split("."))
    if tags["features_hash"] != last["features_hash"]:
        return f"{major + 1}.0.0"
    if tags["training_hash"] != last["training_hash"]:
        return f"{major}.{minor + 1}.0"
    return f"{major}.{minor}.{patch + 1}"


def run(pipeline: Pipeline, context: Context) -> Result:
    """Register the candidate of this run once; a retry finds the version that is there.

    Raises:
        NotPassedError: The candidate does not pass its gates.
        RejectedError: The verdict, or what it is to be watched with, is about another model.
    """
    verdict = passed_verdict(context)
    watched = context.inputs["reference"].values["weights_hash"]
    if watched != verdict.candidate:
        raise RejectedError(
            f"the reference is of model {watched[:12]}, the verdict about "
            f"{verdict.candidate[:12]}; clear reference and what comes after it"
        )
    registry = Registry(context.environment, context.pipeline)
    control = Control(context.environment.control)
    with control.lease_for(context, f"registry {context.pipeline}", wait=120) as lease:
        done = registry.complete()
        own = [
            v
            for v in done
            if v.tags[RUN] == context.run and v.tags["weights_hash"] == verdict.candidate
        ]
        tags = _tags(pipeline, context, verdict)
        tags["semantic_version"] = (
            own[0].tags["semantic_version"] if own else next_version(tags, [v.tags for v in done])
        )
        with registry.under(lease, tags):
            version = own[0].version if own else _register(registry, context, tags, lease)
    log.info("%s %s is version %s", context.pipeline, tags["semantic_version"], version)
    return context.result(
        values={
            "version": str(version),
            "semantic_version": tags["semantic_version"],
            "model_uri": f"models:/{context.pipeline}/{version}",
            "tags": tags,
        },
    )


def _tags(pipeline: Pipeline, context: Context, verdict: Verdict) -> dict[str, str]:
    description = _read(context, "assemble", "description")
    meaning = {
        "inputs": [description["numeric"], description["categorical"]],
        "label": pipeline.label.model_dump(mode="json"),
    }
    settings = pipeline.training.model_dump(mode="json", exclude={"watchdog_seconds", "threads"})
    return {
        RUN: context.run,
        "features_hash": _hash(meaning),
        "training_hash": _hash(settings),
        "weights_hash": verdict.candidate,
        "set_hash": description["hash"],
        "snapshots": json.dumps(description["snapshots"], sort_keys=True),
        "window": str(context.window),
        "seed": str(pipeline.training.seed),
        "commit": source.commit(context.environment),
        "lock": source.lock(),
        "judged_against": verdict.champion or "",
    }


def _register(registry: Registry, context: Context, tags: dict[str, str], lease: Lease) -> str:
    """Make the version, or go on with the one that a killed attempt made, and let it count."""
    version = registry.draft(tags)
    if version is None:
        model = _log_model(registry, context)
        lease.check()
        version = registry.add(registry.run(context.run, "register"), model, tags)
    registry.publish(version, tags, lease)
    return version


def _log_model(registry: Registry, context: Context) -> str:
    identity = registry.run(context.run, "register")
    for task, name, file in (
        ("train", "model", "torch/model.pt"),
        ("train", "description", "torch/model.json"),
        ("assemble", "description", "set.json"),
        ("judge", "verdict", "verdict.json"),
        ("reference", "reference", "reference.zip"),
    ):
        uri = context.output(task, name).uri
        if uri is not None:
            registry.attach(identity, file, objects.read_bytes(uri))
    graph_uri = context.output("train", "onnx").uri
    if graph_uri is None:
        raise ConfigError("train's output 'onnx' is no object; run train again")
    graph = objects.read_bytes(graph_uri)
    spec = Spec.model_validate(_read(context, "train", "description")["spec"])
    example: dict[str, Any] = {
        "numeric": np.tile(np.array(spec.mean, np.float32), (EXAMPLE_ROWS, 1))
    }
    if spec.categorical:
        words = [words[0] if words else "" for words in spec.vocabularies]
        example["categorical"] = np.array([words] * EXAMPLE_ROWS, dtype=object)
    prediction = OnnxModel(graph, spec).raw(example)
    return registry.log_model(identity, graph, example, prediction)


def _read(context: Context, task: str, name: str) -> dict[str, Any]:
    uri = context.output(task, name).uri
    if uri is None:
        raise ConfigError(f"{task}'s output {name!r} is no object; run {task} again")
    found: dict[str, Any] = json.loads(objects.read_text(uri))
    return found


def _hash(content: object) -> str:
    return bytes_hash(json.dumps(content, sort_keys=True).encode())
