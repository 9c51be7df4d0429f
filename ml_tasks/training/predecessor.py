"""Finds the version that a rollback goes to: one that passed its gates, and is still there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.errors import BackendError, ConfigError, RejectedError
from ml_tasks.gates.verdict import Verdict
from ml_tasks.io import objects, runs
from ml_tasks.io.champions import Head, line
from ml_tasks.io.registry import COMPLETE, RUN
from ml_tasks.training import champion

if TYPE_CHECKING:
    from collections.abc import Iterable
    from typing import Any

    from ml_tasks.config import Environment
    from ml_tasks.io.control import Control
    from ml_tasks.io.registry import Registry


def find(
    environment: Environment, control: Control, registry: Registry | None, seen: Head, to: str = ""
) -> Head:
    """Give the version to go back to, with its run and verdict.

    Args:
        environment: Where its objects are.
        control: Knows which versions were champion.
        registry: Knows all versions; `None` where it is away.
        seen: Today's champion.
        to: Number or semantic version; when empty, the version that was champion before.

    Raises:
        ConfigError: There is none such, it is champion already, or its objects are gone.
        RejectedError: It never passed a verdict.
        BackendError: Only the registry, which is away, could know of it.
    """
    log = control.audit(seen.pipeline)
    been = {head.version: head for head in line(log, withdrawn=True)}
    wanted = to or _before(line(log), seen)
    if registry is None:
        if wanted not in been:
            raise BackendError(
                f"{seen.pipeline}: version {wanted!r} was never champion, wanted one of "
                f"{sorted(been)}; of others MLflow knows, which does not run: perennial up"
            )
        found = been[wanted]
    else:
        version = _registered(registry, wanted)
        found = been.get(str(version.version)) or _judged(environment, seen.pipeline, version)
    if found.version == seen.version:
        raise ConfigError(
            f"{seen.pipeline}: version {seen.version} is champion already, since {seen.since}"
        )
    champion.of_head(environment, found)
    return found


def _before(standing: Iterable[Head], seen: Head) -> str:
    before = [head.version for head in standing if head.version != seen.version]
    if not before:
        raise ConfigError(
            f"{seen.pipeline}: nothing to roll back to, no version was champion before "
            f"{seen.version}; name another version by --to"
        )
    return before[-1]


def _registered(registry: Registry, wanted: str) -> Any:
    versions = registry.versions()
    named = [v for v in versions if wanted in (str(v.version), v.tags.get("semantic_version"))]
    for version in named:
        if COMPLETE in version.tags:
            return version
    if named:
        raise RejectedError(
            f"{registry.pipeline}: version {named[0].version} never passed a verdict: it was not "
            "registered to the end; name another version by --to"
        )
    known = [f"{v.version} ({v.tags.get('semantic_version')})" for v in versions]
    raise ConfigError(f"{registry.pipeline}: came version {wanted!r}, wanted one of {known}")


def _judged(environment: Environment, pipeline: str, version: Any) -> Head:
    """Give a version that was never champion, with the verdict that let it be registered."""
    run = version.tags[RUN]
    for one in runs.tries(environment, pipeline, run):
        output = one.result.outputs.get("verdict") if one.result is not None else None
        if one.task != "judge" or output is None or output.uri is None:
            continue
        verdict = Verdict.model_validate_json(objects.read_bytes(output.uri))
        if verdict.passed and verdict.candidate == version.tags["weights_hash"]:
            return Head(pipeline, str(version.version), run, output.uri, "")
    raise RejectedError(
        f"{pipeline}: version {version.version} never passed a verdict: run {run} left none that "
        "did and is about its weights; restore that run's objects, or name another version by --to"
    )
