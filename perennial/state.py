"""What a home's state consists of, in the order in which it is copied.

First control, which names runs, verdicts and versions; then the other databases, the lake's catalog
among them, which name files; then the files. Files are written before they are named and are never
changed, so that all that a copied database names is among the files that are copied later.
"""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import sqlalchemy as sa

from ml_tasks.errors import ConfigError
from perennial.archive import Part

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from ml_tasks.config import Environment

LEFT_OUT = (
    "logs", "services.json", "warm.sock", "warm.rehearsal", "postgres", "redis", "s3", "restoring",
)  # fmt: skip
"""Of a home: what its services make anew, and the folders of servers that have their own means."""
RESTORING = "restoring"
"""Stands in a home for as long as a restore has not come to its end."""
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
    for file in walk(home):
        if str(file) not in known and is_sqlite(file):
            name = f"home-{'-'.join(file.relative_to(home).with_suffix('').parts)}"
            found.insert(1, Part(name=name, kind="sqlite", address=str(file)))
    found.append(Part(name="home", kind="files", address=home.as_uri()))
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


def walk(root: Path) -> Iterator[Path]:
    """Give the regular files below a folder that are kept, in order; links are followed.

    Raises:
        ConfigError: A name is no text.
    """
    for folder, folders, names in os.walk(root, followlinks=True):
        here = Path(folder)
        top = here == root
        kept = (f for f in folders if (not top or moves(f)) and not _leads_back(here / f))
        folders[:] = sorted(kept)
        for name in sorted(names):
            if any("\udc80" <= letter <= "\udcff" for letter in name):
                raise ConfigError(f"{here}: {os.fsencode(name)!r} is no UTF-8; rename the file")
            file = here / name
            if (top and not moves(name)) or _DRAFT.fullmatch(name):
                continue
            if name.endswith(BESIDE) and is_sqlite(here / name.rpartition("-")[0]):
                continue
            if file.is_file() and stat.S_ISREG(file.stat().st_mode):
                yield file


def _leads_back(folder: Path) -> bool:
    """Tell whether a folder is a link to one that it lies in itself."""
    return folder.is_symlink() and folder.parent.resolve().is_relative_to(folder.resolve())


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
    """Tell whether a file is an SQLite database."""
    try:
        with file.open("rb") as stream:
            return stream.read(len(_SQLITE)) == _SQLITE
    except FileNotFoundError:
        return False
