"""Expires old snapshots and removes files that nothing refers to; PyIceberg does neither."""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ml_tasks.io import objects
from ml_tasks.io.commits import committed
from ml_tasks.io.lake import Lake

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from pyarrow import fs
    from pyiceberg.table import Table

    from ml_tasks.config import Environment

log = logging.getLogger(__name__)
GRACE = timedelta(days=1)
"""Longer than any task may run: a younger file may belong to a commit that is under way."""
LEASE = "housekeeping"
"""Who takes state away, or copies it, holds this lease."""
_DRAFT = re.compile(r"\..+\.[0-9a-f]{32}")


@dataclass(frozen=True, slots=True)
class Cleaned:
    """What was removed."""

    snapshots: int
    files: tuple[str, ...]
    """Paths of data files, manifests, metadata and drafts, sorted."""
    size: int
    """Their bytes."""


def clean(
    environment: Environment,
    older_than: datetime,
    *,
    grace: timedelta = GRACE,
    freed: Collection[tuple[str, str]] = (),
    dry: bool = False,
) -> Cleaned:
    """Expire snapshots, then remove each file of the lake that no snapshot refers to, and drafts.

    Tagged snapshots and each table's newest one never expire. A refused or killed commit leaves
    files that no metadata names; they go as well, and so do drafts of objects.

    Args:
        environment: Where the lake and the objects are.
        older_than: Snapshots from before this moment expire.
        grace: Files younger than this are spared.
        freed: Table and tag, of tags that no longer count.
        dry: Only say what would go.

    Raises:
        BackendError: A table changed under every try to expire its snapshots.
    """
    lake, until = Lake(environment), datetime.now(UTC) - grace
    removed: list[fs.FileInfo] = []
    expired = 0
    for name in lake.tables():
        tags = {tag for table, tag in freed if table == name}
        table = lake.load(name)
        going = _expiring(table, older_than, tags) if dry else ()
        expired += len(going) if dry else _expire(table, older_than, tags)
        # Listed first: what is committed while we look is then among what is referred to.
        store, listed = _listed(table.location(), lake, until)
        used = set(referred(table.refresh(), without=going))
        removed += _remove(store, [i for i in listed if i.path not in used], dry=dry)
    for root in (environment.objects_root, (environment.home / "feast").as_uri()):
        store, path = objects.filesystem(root)
        drafts = [i for i in _files(store, path, until) if _DRAFT.fullmatch(i.base_name)]
        removed += _remove(store, drafts, dry=dry)
    log.info("%s snapshots expired, %s files removed", expired, len(removed))
    return Cleaned(
        expired, tuple(sorted(info.path for info in removed)), sum(info.size for info in removed)
    )


def _expiring(table: Table, older_than: datetime, freed: Collection[str]) -> list[int]:
    kept = {ref.snapshot_id for name, ref in table.refs().items() if name not in freed}
    return [
        snapshot.snapshot_id
        for snapshot in table.snapshots()
        if snapshot.timestamp_ms < 1000 * older_than.timestamp()
        and snapshot.snapshot_id not in kept
    ]


def _expire(table: Table, older_than: datetime, freed: Collection[str]) -> int:
    gone: list[int] = []

    def change(loaded: Table) -> None:
        gone[:] = _expiring(loaded, older_than, freed)
        if gone:
            loaded.maintenance.expire_snapshots().by_ids(gone).commit()

    committed(table, change)
    return len(gone)


def _listed(location: str, lake: Lake, until: datetime) -> tuple[fs.FileSystem, list[fs.FileInfo]]:
    from pyiceberg.io.pyarrow import PyArrowFileIO

    # The library reads addresses in its own way; its paths are the ones to compare with.
    scheme, host, path = PyArrowFileIO.parse_location(location)
    store = PyArrowFileIO(lake.catalog.properties).fs_by_scheme(scheme, host)
    return store, _files(store, path, until)


def _files(store: fs.FileSystem, path: str, until: datetime) -> list[fs.FileInfo]:
    from pyarrow import fs

    found = store.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
    return [
        info
        for info in found
        if info.type == fs.FileType.File and info.mtime is not None and info.mtime <= until
    ]


def referred(table: Table, *, without: Collection[int] = ()) -> Iterator[str]:
    """Give the path of each file that the table's metadata, as it is now, reaches.

    Args:
        table: As it was loaded.
        without: Snapshots that do not count.
    """
    from pyiceberg.io.pyarrow import PyArrowFileIO

    metadata = table.metadata
    named = [table.metadata_location, *(entry.metadata_file for entry in metadata.metadata_log)]
    named += [s.statistics_path for s in (*metadata.statistics, *metadata.partition_statistics)]
    seen: set[str] = set()
    for snapshot in metadata.snapshots:
        if snapshot.snapshot_id in without:
            continue
        named.append(snapshot.manifest_list)
        for manifest in snapshot.manifests(table.io):
            if manifest.manifest_path in seen:
                continue
            seen.add(manifest.manifest_path)
            named += [e.data_file.file_path for e in manifest.fetch_manifest_entry(table.io)]
    for location in (*named, *seen):
        yield PyArrowFileIO.parse_location(location)[2]


def _remove(store: fs.FileSystem, infos: list[fs.FileInfo], *, dry: bool) -> list[fs.FileInfo]:
    for info in () if dry else infos:
        try:
            store.delete_file(info.path)
        except FileNotFoundError:
            log.info("%s: removed by another meanwhile", info.path)
    return infos
