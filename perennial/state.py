"""What a home's state consists of, in the order in which it is copied.

First control, which names runs, verdicts and versions; then the other databases, the lake's catalog
among them, which name files; then the files. Files are written before they are named and are never
changed, so that all that a copied database names is among the files that are copied later.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa

from ml_tasks.errors import BackendError, ConfigError
from ml_tasks.io.backend import said
from perennial.archive import Part, made_in

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml_tasks.config import Environment

MIGRATED = "migrated"
"""Marks of databases that have the installed versions' schema."""
LEFT_OUT = (
    MIGRATED,
    "logs", "services.json", "warm.sock", "warm.rehearsal", "year.lock", "postgres", "redis", "s3",
    "restoring",
)  # fmt: skip
"""Of a home: what its services make anew, and the folders of servers that have their own means."""
RESTORING = "restoring"
"""Stands in a home for as long as a restore has not come to its end."""
HOME = "home"
"""The part that is the home's files."""
REPLACED = "replaced-"
"""What a restore set aside."""
ONLINE = "online"
ROOTS = ("objects", "warehouse", "landing")
_SQLITE = b"SQLite format 3\x00"
BESIDE = ("-wal", "-shm", "-journal")
"""What belongs to an SQLite database and lies beside it."""
_DRAFT = re.compile(r"\..+\.[0-9a-f]{32}")


def urls(environment: Environment, services: Mapping[str, str]) -> dict[str, str]:
    """Give the SQLAlchemy addresses of databases by name.

    Args:
        environment: Where state lies.
        services: Those of MLflow and Airflow, where they are no files below the home.
    """
    own = {"control": environment.control, **services, "catalog": environment.catalog}
    return own | ({"feast": environment.feast} if environment.profile == "servers" else {})


def parts(environment: Environment, databases: Mapping[str, str]) -> list[Part]:
    """Give the parts of a home's state.

    Args:
        environment: Where state lies.
        databases: Their addresses, by name.
    """
    home = environment.home
    found = [_database(name, url) for name, url in databases.items()]
    known = {part.address for part in found}
    for file in walk(home, home=True):
        if str(file) not in known and is_sqlite(file):
            name = f"home-{'-'.join(file.relative_to(home).with_suffix('').parts)}"
            if name in {part.name for part in found}:  # by what it ends in alone it is another
                name += file.suffix
            found.insert(1, Part(name=name, kind="sqlite", address=str(file)))
    found.append(Part(name=HOME, kind="files", address=home.as_uri()))
    for name, root in zip(
        ROOTS,
        (environment.objects_root, environment.warehouse_root, environment.landing_root),
        strict=True,
    ):
        if not root.startswith("file:"):
            found.append(Part(name=name, kind="elsewhere", address=root))
        elif not path_of(root).is_relative_to(home):
            found.append(Part(name=name, kind="files", address=root))
    if environment.profile == "servers":
        at = sa.make_url(environment.redis).render_as_string(hide_password=True)
        found.append(Part(name=ONLINE, kind="elsewhere", address=at))
    return found


def _database(name: str, url: str) -> Part:
    made = sa.make_url(url)
    if made.get_backend_name() == "sqlite":
        return Part(name=name, kind="sqlite", address=str(Path(made.database or "").absolute()))
    return Part(name=name, kind="postgres", address=made.render_as_string(hide_password=True))


def path_of(address: str) -> Path:
    """Give the path of a `file://` address."""
    return Path(unquote(urlsplit(address).path))


def walk(root: Path, *, home: bool, without: Path | None = None) -> Iterator[Path]:
    """Give the regular files below a folder that are kept, in order; links are followed.

    Args:
        root: The folder.
        home: Whether it is a home, of which not all is state.
        without: One that is left out: the backup that is being made. Those that were made before
            are left out wherever they lie.

    Raises:
        ConfigError: A name is no text.
        BackendError: A folder cannot be listed.
    """
    if root.is_dir():
        yield from _below(root, (), without and without.resolve(), top=True, home=home)


def _below(
    folder: Path,
    above: tuple[Path, ...],
    without: Path | None,
    *,
    top: bool = False,
    home: bool = False,
) -> Iterator[Path]:
    place = folder.resolve()
    # A link may lead back to where it lies, or to where a backup lies.
    if place in above or place == without or (not top and made_in(folder)):
        return
    try:
        entries = sorted(folder.iterdir())
    except FileNotFoundError:
        return  # what is named is held against the copies in the end
    except OSError as fault:
        raise BackendError(f"{folder}: cannot be listed: {said(fault)}") from fault
    for entry in entries:
        name = entry.name
        if (home and not moves(name)) or _DRAFT.fullmatch(name):
            continue
        if any("\udc80" <= letter <= "\udcff" for letter in name):
            raise ConfigError(f"{folder}: {os.fsencode(name)!r} is no UTF-8; rename it")
        try:
            folded, kept = entry.is_dir(), _kept(entry)
        except OSError as fault:
            raise BackendError(f"{entry}: cannot be looked at: {said(fault)}") from fault
        if folded:
            yield from _below(entry, (*above, place), without)
        elif kept:
            yield entry


def _kept(file: Path) -> bool:
    beside = file.name.endswith(BESIDE) and is_sqlite(file.with_name(file.name.rpartition("-")[0]))
    return file.is_file() and not beside


def moves(name: str) -> bool:
    """Tell whether what lies in a home under a name is state of its own."""
    return name not in LEFT_OUT and not name.startswith(REPLACED)


def require_whole(home: Path) -> None:
    """Make sure that no restore of a home broke off.

    Raises:
        ConfigError: One did.
    """
    mark = home / RESTORING
    if mark.exists():
        raise ConfigError(
            f"{home}: the restore of {mark.read_text()} has not come to its end; give it again "
            "with --replace"
        )


def is_sqlite(file: Path) -> bool:
    """Tell whether a file is an SQLite database.

    Raises:
        BackendError: It cannot be read.
    """
    try:
        with file.open("rb") as stream:
            return stream.read(len(_SQLITE)) == _SQLITE
    except FileNotFoundError:
        return False
    except OSError as fault:
        raise BackendError(f"{file}: cannot be read: {said(fault)}") from fault
