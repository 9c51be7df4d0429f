"""What of old runs may go: nothing that a version, the champion, a trigger or a lease needs."""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from ml_tasks.errors import BackendError, ConfigError
from ml_tasks.io import objects
from ml_tasks.io.commits import committed
from ml_tasks.io.content import bytes_hash
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake
from ml_tasks.io.registry import RUN, Registry
from ml_tasks.io.triggers import ASKED, CLAIMED
from ml_tasks.result import RESULT

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from pyiceberg.table import Table

    from ml_tasks.config import Environment
    from ml_tasks.io.control import Lease
    from ml_tasks.io.objects import Object

log = logging.getLogger(__name__)
TAGS = "tags"
"""Who tags snapshots, or takes tags away, holds this lease."""
TAG = "set-"
RECORDS = (RESULT, "verdict.json", "evaluation.json")
"""What says how a window came in, or how a verdict was reached; it stays where control names it."""
TRAINING = ("claim", "assemble", "train", "register")
_OPEN = (ASKED, CLAIMED)


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that may go."""

    kind: str
    """`run`, `capsules`, `log` or `artifacts`."""
    name: str
    uris: tuple[str, ...]
    size: int


@dataclass(slots=True)
class Plan:
    """What may go, and what of it nobody can say."""

    until: datetime
    """What is older."""
    items: list[Item] = field(default_factory=list)
    left: list[str] = field(default_factory=list)
    """Old training runs that stay because MLflow was not asked which versions there are."""
    gone: set[tuple[str, str]] = field(default_factory=set)
    """Pipeline and run, of those that nobody needs."""
    reports: int = 0
    """Alerts of other systems that were closed before."""
    sent: int = 0
    """Alerts that were sent before, or given up."""

    @property
    def size(self) -> int:
        """Bytes."""
        return sum(item.size for item in self.items)


def plan(environment: Environment, until: datetime, *, mlflow: bool) -> Plan:
    """Say what may go of runs whose last object is older than a moment, and of alerts.

    Args:
        environment: Where everything is.
        until: That moment.
        mlflow: Whether MLflow can be asked; without it no training run may go.

    Raises:
        ConfigError: Runs are known and none lies there: it is another place.
        BackendError: MLflow does not answer.
    """
    control = Control(environment.control)
    control.migrate()
    made, found, busy = Plan(until), _runs(environment, control), control.running()
    for pipeline in sorted({pipeline for pipeline, _ in found}):
        registry = Registry(environment, pipeline)
        needed = {run for own, run in busy if own == pipeline} | _needed(control, pipeline)
        if mlflow:
            needed |= {version.tags.get(RUN, "") for version in registry.versions()}
        recorded = _recorded(control, pipeline)
        for (own, run), held in sorted(found.items()):
            if own != pipeline or run in needed or max(o.modified for o in held) >= until:
                continue
            training = any(f"/{run}/{task}/" in o.uri for o in held for task in TRAINING)
            if training and not mlflow:
                made.left.append(f"{pipeline}/{run}")
                continue
            made.gone.add((pipeline, run))
            kept = RECORDS if run in recorded else ()
            going = [o for o in held if not o.uri.endswith(kept)] if kept else held
            if going:
                made.items.append(_item("run", f"{pipeline}/{run}", going))
                made.items += _artifacts(registry, run) if training else ()
    made.items += _capsules(environment, until, made, found)
    made.items += _logs(environment.home, until)
    made.reports = control.forget_reports(until, dry=True)
    made.sent = control.forget_sent(until, dry=True)
    return made


def carry_out(environment: Environment, made: Plan) -> None:
    """Take away what a plan names; what is gone already is no fault."""
    control = Control(environment.control)
    control.forget_reports(made.until)
    control.forget_sent(made.until)
    control.forget_turns(made.until)
    for item in made.items:
        if item.kind == "artifacts":
            _forget(environment, item.uris)
            continue
        for uri in item.uris:
            objects.delete(uri)
        log.info("%s %s: %s bytes gone", item.kind, item.name, item.size)


def free(environment: Environment, made: Plan, *, dry: bool) -> list[tuple[str, str]]:
    """Take away tags of sets that no run names which stays, and no registered version.

    Returns:
        Table and tag of each.

    Raises:
        ConfigError: Runs are known and none lies there: it is another place.
        LeaseLostError: It took so long that another tags snapshots by now.
    """
    lake, control = Lake(environment), Control(environment.control)
    holder = f"clean {datetime.now(UTC).isoformat()}"
    with control.lease(TAGS, holder=holder, attempt=1, wait=120) as lease:
        found = _runs(environment, control)
        known = {pipeline for pipeline, _ in found} | set(control.newest_windows(1))
        kept = set(_versions_tags(environment, known))
        for key, held in found.items():
            if key not in made.gone:
                kept |= set(_tags_of(held))
        unneeded = [
            (table, name)
            for table in lake.tables()
            for name in lake.load(table).refs()
            if name.startswith(TAG) and name not in kept
        ]
        for table, name in () if dry else unneeded:
            _untag(lake, table, name, lease)
    return unneeded


def _runs(environment: Environment, control: Control) -> dict[tuple[str, str], list[Object]]:
    """Give what lies there of each run, by pipeline and run.

    Raises:
        ConfigError: Nothing does, though runs are known: it is another place.
    """
    found: dict[tuple[str, str], list[Object]] = defaultdict(list)
    for run, one in _below(environment, "runs"):
        found[run].append(one)
    if not found and (known := sorted(control.newest_windows(1))):
        raise ConfigError(
            f"{environment.objects_root}: no run lies there, and runs of {known} are known; set "
            "PERENNIAL_OBJECTS to where they are. Nothing is taken away"
        )
    return dict(found)


def _below(environment: Environment, folder: str) -> Iterator[tuple[tuple[str, str], Object]]:
    """Give pipeline and run of each object of a folder; what lies there otherwise is not ours."""
    root = f"{environment.objects_root}/{folder}/"
    for one in objects.find(root.rstrip("/")):
        if not one.uri.startswith(root):
            raise ConfigError(f"{one.uri}: came where {root} was listed; nothing is taken away")
        parts = one.uri.removeprefix(root).split("/")
        if len(parts) > 2:
            yield (parts[0], parts[1]), one


def _item(kind: str, name: str, held: Iterable[Object]) -> Item:
    held = list(held)
    return Item(kind, name, tuple(o.uri for o in held), sum(o.size for o in held))


def _needed(control: Control, pipeline: str) -> set[str]:
    head = control.champion(pipeline)
    asked = {t.run for t in control.triggers(pipeline) if t.state in _OPEN and t.run}
    return asked | ({head.run} if head is not None else set())


def _recorded(control: Control, pipeline: str) -> set[str]:
    """Give the runs that control names: they brought a window in, or changed the champion."""
    audited = {str(entry.detail.get("run")) for entry in control.audit(pipeline)}
    return audited | {window.run for window in control.windows(pipeline)}


def _capsules(
    environment: Environment,
    until: datetime,
    made: Plan,
    found: dict[tuple[str, str], list[Object]],
) -> Iterator[Item]:
    by_run: dict[tuple[str, str], list[Object]] = defaultdict(list)
    for run, one in _below(environment, "capsules"):
        if one.modified < until:
            by_run[run].append(one)
    for key, held in sorted(by_run.items()):
        if key in made.gone or key not in found:
            yield _item("capsules", "/".join(key), held)


def _logs(home: Path, until: datetime) -> Iterator[Item]:
    # Not those of services, which write on into the file that they have.
    folder = home / "airflow" / "logs"
    if old := [o for o in objects.find(folder.as_uri()) if o.modified < until]:
        yield _item("log", folder.relative_to(home).as_posix(), old)


def _artifacts(registry: Registry, run: str) -> Iterator[Item]:
    """Give what MLflow keeps of a run that no version came of; its numbers stay."""
    wanted = f"tags.`{RUN}` = '{run}'"
    found = registry.client.search_runs([registry.experiment], wanted)
    held = [(one.info.artifact_uri, _size(registry, one.info.run_id)) for one in found]
    if uris := tuple(uri for uri, size in held if size):
        yield Item("artifacts", f"{registry.pipeline}/{run}", uris, sum(size for _, size in held))


def _size(registry: Registry, identity: str, path: str | None = None) -> int:
    return sum(
        _size(registry, identity, one.path) if one.is_dir else int(one.file_size or 0)
        for one in registry.client.list_artifacts(identity, path)
    )


def _forget(environment: Environment, uris: Iterable[str]) -> None:
    import mlflow
    from mlflow.exceptions import MlflowException
    from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository

    mlflow.set_tracking_uri(environment.mlflow_url)
    for uri in uris:
        try:
            get_artifact_repository(uri).delete_artifacts()
        except MlflowException as fault:
            raise BackendError(f"MLflow at {environment.mlflow_url}: {uri}: {fault}") from fault


def set_tag(digest: str, snapshots: dict[str, int]) -> str:
    """Give the tag of a set: equal content may stand on other snapshots, and is another one then.

    Args:
        digest: The set's content hash.
        snapshots: Table and snapshot id.
    """
    named = json.dumps([digest, snapshots], sort_keys=True)
    return f"{TAG}{bytes_hash(named.encode())[:12]}"


def _versions_tags(environment: Environment, pipelines: Iterable[str]) -> Iterator[str]:
    for pipeline in sorted(pipelines):
        for version in Registry(environment, pipeline).versions():
            tags: dict[str, Any] = version.tags
            if "set_hash" in tags and "snapshots" in tags:
                yield set_tag(tags["set_hash"], json.loads(tags["snapshots"]))


def _tags_of(held: Iterable[Object]) -> Iterator[str]:
    """Give the tags that a run made: it wrote each down before, and old ones stand in results."""
    for one in held:
        if one.uri.endswith("/tag.json"):
            yield json.loads(objects.read_text(one.uri))["tag"]
        elif "/assemble/" in one.uri and one.uri.endswith(f"/{RESULT}"):
            yield str(objects.read_result(one.uri).values.get("tag", ""))


def _untag(lake: Lake, table: str, name: str, lease: Lease) -> None:
    def change(loaded: Table) -> None:
        lease.check()
        if name in loaded.refs():
            loaded.manage_snapshots().remove_tag(name).commit()

    committed(lake.load(table), change)
