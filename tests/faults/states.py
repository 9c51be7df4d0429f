"""What the state of the platform is, in a form in which two runs can be compared."""

from __future__ import annotations

import hashlib
import json
import re
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator

TIMES = {"token", "expires", "attempt", "created", "since", "at", "previous", "hash"}
"""Columns of control that say when and as which attempt."""
VARYING = {"mlflow_run", "fit_seconds", "resumed_at_epoch"}


def state(home: str, pipeline: str, mlflow_url: str | None) -> dict[str, Any]:
    """Give control, tables, objects, online features and, where asked for, MLflow."""
    from ml_tasks.config import Environment

    environment = Environment(home=Path(home), **({"mlflow_url": mlflow_url} if mlflow_url else {}))
    return {
        "control": control(Path(home) / "control.db"),
        "lake": lake(environment),
        "online": online(Path(home) / "feast" / "online.db"),
        "objects": addresses(environment),
        "results": results(environment, pipeline),
        "mlflow": mlflow(environment, pipeline) if mlflow_url else None,
    }


def rows(file: Path) -> dict[str, list[dict[str, Any]]]:
    if not file.exists():
        return {}
    with closing(sqlite3.connect(file)) as db:
        db.row_factory = sqlite3.Row
        named = [n for (n,) in db.execute("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {
            name: [dict(row) for row in db.execute(f'SELECT * FROM "{name}"')]  # noqa: S608
            for name in sorted(named)
        }


def control(file: Path) -> dict[str, list[str]]:
    kept = {
        name: [{k: v for k, v in row.items() if k not in TIMES} for row in found]
        for name, found in rows(file).items()
        if name != "turns"  # which process of which attempt was the last
    }
    return {name: sorted(json.dumps(r, sort_keys=True) for r in k) for name, k in kept.items()}


def lake(environment: Any) -> dict[str, Any]:
    from ml_tasks.io.content import content_hash
    from ml_tasks.io.lake import Lake

    opened = Lake(environment)
    found = {}
    for name in opened.tables():
        refs = opened.catalog.load_table(name).refs()
        tags = {t: r.snapshot_id for t, r in refs.items() if t != "main"}
        found[name] = {
            "main": content_hash(opened.read(name)),
            "tags": {
                # A tag's name holds snapshot ids, which are drawn by lot.
                content_hash(opened.read(name, snapshot=snapshot)): len(tags)
                for snapshot in tags.values()
            },
        }
    return found


def online(file: Path) -> dict[str, str]:
    return {
        name: hashlib.sha256(repr(sorted(map(repr, found))).encode()).hexdigest()
        for name, found in rows(file).items()
    }


def addresses(environment: Any) -> list[str]:
    from ml_tasks.io import objects

    root = environment.objects_root
    found = (o.uri.removeprefix(root) for o in objects.find(root))
    return sorted({re.sub(r"(/\d+)+/", "/N/", uri) for uri in found})


def results(environment: Any, pipeline: str) -> dict[str, Any]:
    from ml_tasks.io import objects, runs

    folder = f"{environment.objects_root}/runs/{pipeline}/"
    names = {o.uri.removeprefix(folder).split("/")[0] for o in objects.find(folder)}
    return {
        f"{run}/{task}": {
            "outputs": {
                name: output.content_hash
                for name, output in result.outputs.items()
                if name not in {"usage", "description"} or (task == "train" and name != "usage")
            },
            "values": plain(result.values),
            "error": result.error and result.error.kind,
        }
        for run in sorted(names)
        for task, result in runs.results(environment, pipeline, run).items()
    }


def plain(values: dict[str, Any]) -> dict[str, Any]:
    """Leave out what is drawn by lot or measured by the clock."""
    drawn = {"snapshots", "tag", *VARYING}
    kept = {k: v for k, v in values.items() if k not in drawn and "seconds" not in k}
    if "tags" in kept:
        kept["tags"] = {k: v for k, v in kept["tags"].items() if k != "snapshots"}
    return {k: v for k, v in kept.items() if not k.startswith("system")} if kept else {}


def mlflow(environment: Any, pipeline: str) -> dict[str, Any]:
    from ml_tasks.io.registry import Registry

    registry = Registry(environment, pipeline)
    client = registry.client
    found = client.search_registered_models(f"name = '{pipeline}'")
    versions = client.search_model_versions(f"name = '{pipeline}'")
    experiment = client.get_experiment_by_name(pipeline)
    ids = [experiment.experiment_id] if experiment else []
    runs = client.search_runs(ids) if ids else []
    return {
        "alias": {a: v for model in found for a, v in model.aliases.items()},
        "versions": {
            v.version: {**{k: t for k, t in v.tags.items() if k != "snapshots"}, "status": v.status}
            for v in versions
        },
        "models": sorted(m.name for m in client.search_logged_models(ids)) if ids else [],
        "runs": sorted(
            [
                r.data.tags["perennial.run"],
                r.data.tags["perennial.task"],
                r.info.status,
                sorted(f.path for f in client.list_artifacts(r.info.run_id)),
                sorted(
                    (name, len(client.get_metric_history(r.info.run_id, name)))
                    for name in r.data.metrics
                    if name in {"log_loss", "system/memory_mb"}
                ),
                sorted(r.data.params),
                len(r.inputs.dataset_inputs),
            ]
            for r in runs
        ),
    }


def orphans(home: str) -> dict[str, Any]:
    """Clean up, then name drafts and files of the lake that nothing refers to."""
    from ml_tasks.config import Environment
    from ml_tasks.io import housekeeping
    from ml_tasks.io.lake import Lake

    environment = Environment(home=Path(home))
    # Young snapshots stay, so that what a commit left is told apart from what has expired.
    housekeeping.clean(environment, datetime.now(UTC) - timedelta(days=1), grace=timedelta(0))
    opened = Lake(environment)
    used = {f for name in opened.tables() for f in referred(opened.catalog.load_table(name))}
    there = {f.as_uri() for f in Path(home, "warehouse").rglob("*") if f.is_file()}
    places = (Path(home, "objects"), Path(home, "feast"))
    drafts = [str(f) for place in places for f in place.rglob(".*") if f.is_file()]
    left = sorted(there - {u.replace("file:/", "file:///") if "///" not in u else u for u in used})
    missing = sorted(u for u in used if not Path(u.removeprefix("file://")).exists())
    return {"left": left, "missing": missing, "drafts": drafts, "lake": lake(environment)}


def referred(table: Any) -> set[str]:
    """Name every file that a table's metadata reaches, by another way than the product's."""
    inspected = table.inspect
    files = {table.metadata_location, *(e.metadata_file for e in table.metadata.metadata_log)}
    files |= {s.manifest_list for s in table.metadata.snapshots}
    files |= set(inspected.all_manifests()["path"].to_pylist())
    files |= set(inspected.all_files()["file_path"].to_pylist())
    return files


def differences(wanted: Any, came: Any, path: str = "") -> Iterator[str]:
    """Name each place where two states differ."""
    if isinstance(wanted, dict) and isinstance(came, dict):
        for key in sorted(wanted.keys() | came.keys()):
            yield from differences(wanted.get(key), came.get(key), f"{path}/{key}")
    elif wanted != came:
        yield f"{path}: wanted {wanted!r}, came {came!r}"
