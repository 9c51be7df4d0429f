"""Follows a model version back: model, run, data, rows."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from ml_tasks.errors import ConfigError, ExitCode
from ml_tasks.io import runs
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake
from ml_tasks.io.registry import ALIAS, RUN, Registry
from ml_tasks.result import Window
from perennial import console

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ml_tasks.config import Environment

SHORT = 12
SAID = ("semantic_version", "commit", "lock", "seed", "weights_hash", "set_hash", "judged_against")


def show(environment: Environment, pipeline: str, wanted: str) -> int:
    """Show where a version comes from.

    Raises:
        ConfigError: There is no such version.
        BackendError: MLflow does not answer.
    """
    registry, control = Registry(environment, pipeline), Control(environment.control)
    version = find(registry, control, wanted)
    tags: dict[str, str] = version.tags
    if lacking := [name for name in (RUN, "snapshots", "window") if name not in tags]:
        raise ConfigError(
            f"{pipeline}: version {version.version} was registered by hand: it has no {lacking}, "
            "and nothing here knows what it was made of"
        )
    head = control.champion(pipeline)
    console.table(
        f"Model {pipeline} {version.version}",
        ("", ""),
        [
            ("champion", "yes" if head and head.version == version.version else "no"),
            *((name, tags.get(name) or "-") for name in SAID),
        ],
    )
    _run(environment, control, pipeline, tags)
    snapshots: dict[str, int] = json.loads(tags["snapshots"])
    window = Window.parse(tags["window"])
    _data(Lake(environment), snapshots, window)
    _rows(environment, control, pipeline, tags, window)
    return ExitCode.OK


def find(registry: Registry, control: Control, wanted: str) -> Any:
    """Give a registered version by number, semantic version, or as the champion.

    Raises:
        ConfigError: There is none.
    """
    versions = registry.versions()
    if wanted == ALIAS:
        head = control.champion(registry.pipeline)
        wanted = head.version if head else wanted
    for version in versions:
        if wanted in (str(version.version), version.tags.get("semantic_version")):
            return version
    known = [f"{v.version} ({v.tags.get('semantic_version')})" for v in versions]
    if not known:
        raise ConfigError(
            f"{registry.pipeline}: no version was registered yet; train it, or name another "
            "pipeline by -p"
        )
    raise ConfigError(
        f"{registry.pipeline}: came version {wanted!r}, wanted {ALIAS} or one of {known}"
    )


def _run(
    environment: Environment, control: Control, pipeline: str, tags: Mapping[str, str]
) -> None:
    results = runs.results(environment, pipeline, tags[RUN])
    claimed = results["claim"].values if "claim" in results else {}
    trigger = control.trigger(claimed["trigger"]) if "trigger" in claimed else None
    rows = [("run", tags[RUN])]
    if trigger is not None:
        why = trigger.evidence.get("why", "")
        rows += [("asked by", f"{trigger.cause}, {trigger.who}"), ("because", why or "-")]
        rows += [("trigger", trigger.id), ("outcome", trigger.outcome or trigger.state)]
    for task, result in results.items():
        used = result.resources
        rows.append((task, f"{used.wall_seconds:.1f} s, {used.peak_memory_mb:.0f} MB"))
    console.table("Run", ("", ""), rows)


def _data(lake: Lake, snapshots: Mapping[str, int], window: Window) -> None:
    rows = []
    for table, snapshot in sorted(snapshots.items()):
        seen = lake.read(table, window=window, columns=["event_time"], snapshot=snapshot)
        rows.append((table, snapshot, seen.num_rows))
    console.table(f"Data of {window}", ("table", "snapshot", "rows"), rows)


def _rows(
    environment: Environment,
    control: Control,
    pipeline: str,
    tags: Mapping[str, str],
    window: Window,
) -> None:
    """Show which ingestions brought the rows, and what each left out."""
    rows = []
    for one in control.windows(pipeline):
        inside = Window.parse(f"{one.start}/{one.end}")
        if inside.start >= window.end or inside.end <= window.start:
            continue
        found = runs.results(environment, pipeline, one.run).get("validate")
        counts = {} if found is None else found.values
        said = [
            f"{name} {c['published']} published, {c['quarantined']} in quarantine"
            for name, c in counts.items()
            if isinstance(c, dict)
        ]
        rows.append((str(inside), one.run, "; ".join(said) or "-"))
    console.table("Rows, by window", ("window", "run", "rows"), rows)
    made = runs.results(environment, pipeline, tags[RUN]).get("assemble")
    if made is not None:
        parts = ", ".join(f"{n} {part}" for part, n in made.values["rows"].items())
        console.say(f"training set {tags['set_hash'][:SHORT]}: {parts}; {made.outputs['set'].uri}")
