"""Copies all that cannot be computed again, while everything may go on."""

from __future__ import annotations

import os
import sqlite3
import tempfile
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import sqlalchemy as sa
import typer

from ml_tasks.config import Environment
from ml_tasks.errors import BackendError, ConfigError, ExitCode
from ml_tasks.io import housekeeping, objects, source
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake
from perennial import archive, console, state
from perennial.given import environment
from perennial.processes import call

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from perennial.archive import Entry, Part
    from perennial.services import Services

LEASE_SECONDS = 3600
"""Taken anew for each part; without it `clean` could take away what was named a moment ago."""
MEGABYTE = 2**20


def command(
    target: Annotated[
        str, typer.Argument(help="A new folder: a path, file:// or s3://bucket/folder.")
    ],
) -> int:
    """Copy all state into a folder, with the hash of each file; services may go on meanwhile."""
    from perennial.services import Services

    given = environment()
    if given.profile == "embedded" and not given.home.is_dir():
        raise ConfigError(f"{given.home}: there is no such home; PERENNIAL_HOME names it")
    services = Services(given)
    with console.waiting("copying") as show:
        made = run(services, address(target), show)
    console.say(
        f"{len(made.entries)} files, {made.size / MEGABYTE:.1f} MB in {address(target)}; "
        "some of them are secret"
    )
    for part in made.parts:
        if part.kind == "elsewhere":
            console.plain(f"not in it: {part.name} at {part.address}; {_means(part)}")
    return ExitCode.OK


def _means(part: Part) -> str:
    if part.name == state.ONLINE:
        return "it is brought back by materialise of the newest windows"
    return "keep it by the bucket's own means, versioning or replication"


def address(text: str) -> str:
    """Give the address of a folder that a person named."""
    return (text if "://" in text else Path(text).absolute().as_uri()).rstrip("/")


def run(services: Services, target: str, show: Callable[[str], None]) -> archive.Manifest:
    """Copy the state of a home.

    Args:
        services: Of the home.
        target: Where to, `file://` or `s3://`.
        show: Told what is copied now.

    Raises:
        ConfigError: The target is not empty, or lies within what is copied.
        LeaseHeldError: State is cleaned up just now.
        BackendError: A store or the target does not answer.
    """
    given = services.present
    _hold(given, target)
    urls = state.urls(given, databases(services))
    control = Control(given.control)
    control.migrate()
    holder = f"backup {datetime.now(UTC).isoformat()}"
    entries: list[Entry] = []
    parts = state.parts(given, urls)
    with ExitStack() as held, tempfile.TemporaryDirectory() as scratch:
        for number, part in enumerate(parts, start=1):
            lease = held.enter_context(
                control.lease(
                    housekeeping.LEASE, holder=holder, attempt=number, seconds=LEASE_SECONDS
                )
            )
            show(part.name)
            entries += _copied(part, target, Path(scratch), urls, parts)
        _whole(given, entries, parts, Path(scratch))
        lease.check()
    manifest = archive.Manifest(
        made=datetime.now(UTC),
        home=str(given.home),
        commit=source.commit(given),
        parts=tuple(parts),
        entries=tuple(entries),
    )
    archive.seal(target, manifest)
    return manifest


def databases(services: Services) -> dict[str, str]:
    """Give the addresses of what MLflow and Airflow keep on servers; files are found by walking."""
    if services.given.profile == "embedded":
        return {}
    told = services.environ()
    names = {"airflow": "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"}
    if "mlflow" in services.names:
        names["mlflow"] = "MLFLOW_BACKEND_STORE_URI"
    return {name: told[variable] for name, variable in names.items()}


def _hold(given: Environment, target: str) -> None:
    if objects.find(target):
        raise ConfigError(f"{target}: it is not empty; name a new folder for each backup")
    if not target.startswith("file:"):
        return
    place = Path(os.path.abspath(state.path_of(target)))  # noqa: PTH100 - links are another matter
    roots = (given.home, *(state.path_of(r) for r in _roots(given) if r.startswith("file:")))
    for root in roots:
        # What a link leads to is copied, too.
        if place.is_relative_to(root) or place.resolve().is_relative_to(root.resolve()):
            raise ConfigError(f"{target}: it lies within {root}, which is copied; name another one")
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as fault:
        raise BackendError(f"{target}: cannot be made: {fault}") from fault


def _roots(given: Environment) -> tuple[str, ...]:
    return given.objects_root, given.warehouse_root, given.landing_root


def _copied(
    part: Part, target: str, scratch: Path, urls: Mapping[str, str], parts: list[Part]
) -> Iterator[Entry]:
    if part.kind == "files":
        yield from _files(part, target, {p.address for p in parts if p.kind == "sqlite"})
        return
    if part.kind == "elsewhere" or (part.kind == "sqlite" and not Path(part.address).is_file()):
        return
    copy = scratch / f"{part.name}.database"
    copy.touch(mode=0o600)
    if part.kind == "sqlite":
        _sqlite(Path(part.address), copy)
    else:
        dump(urls[part.name], copy)
    yield archive.put(target, part.name, "", copy)


def _files(part: Part, target: str, databases: set[str]) -> Iterator[Entry]:
    root = state.path_of(part.address)
    place = state.path_of(target) if target.startswith("file:") else None
    for file in state.walk(root, home=part.name == state.HOME, without=place):
        if str(file) in databases:
            continue
        try:
            yield archive.put(target, part.name, file.relative_to(root).as_posix(), file)
        except FileNotFoundError:
            continue  # what is named is held against the copies in the end


def _sqlite(file: Path, copy: Path) -> None:
    """Copy a database as it is at one moment, whoever writes to it."""
    with closing(sqlite3.connect(file)) as before, closing(sqlite3.connect(copy)) as after:
        try:
            before.backup(after)
            said = after.execute("PRAGMA integrity_check").fetchone()[0]
        except sqlite3.Error as fault:
            raise BackendError(f"{file}: cannot be copied: {fault}") from fault
    if said != "ok":
        raise BackendError(f"{file}: the database is damaged: {said}")


def dump(url: str, copy: Path) -> None:
    """Copy a database of a Postgres server as it is at one moment.

    Raises:
        ConfigError: There is no pg_dump.
        BackendError: It failed.
    """
    postgres("pg_dump", url, "--format=custom", "--no-owner", "--file", str(copy))


def postgres(program: str, url: str, *arguments: str) -> None:
    """Run one of Postgres's programs on a database; the password stands in no command line.

    Raises:
        ConfigError: The program is not there.
        BackendError: It failed.
    """
    made = sa.make_url(url)
    plain = made.set(drivername="postgresql", password=None).render_as_string(hide_password=False)
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "said"
        try:
            code = call(
                [program, *arguments, "--dbname", plain], {"PGPASSWORD": made.password or ""}, log
            )
        except FileNotFoundError as fault:
            raise ConfigError(
                f"{program} is not there, wanted for {plain}: install Postgres's client programs"
            ) from fault
        if code:
            raise BackendError(f"{program} {plain}: {log.read_text(errors='replace').strip()}")


def _whole(given: Environment, entries: list[Entry], parts: list[Part], scratch: Path) -> None:
    """Make sure that all that the copied catalog names was copied, where both are files.

    Raises:
        BackendError: Something is missing.
        ConfigError: Something lies where nothing is copied from.
    """
    copy = scratch / "catalog.database"
    on_files = any(part.name == "catalog" and part.kind == "sqlite" for part in parts)
    if not (on_files and copy.is_file() and given.warehouse_root.startswith("file:")):
        return
    roots = {p.name: state.path_of(p.address) for p in parts if p.kind == "files"}
    copied = {str(roots[e.part] / e.path) for e in entries if e.part in roots}
    # A copy of the settings would remember the address that was asked for before.
    told = {**given.model_dump(), "catalog_url": f"sqlite:///{copy}"}
    lake = Lake(Environment.model_validate(told))
    for table in lake.tables():
        missing = set(housekeeping.referred(lake.load(table))) - copied
        if missing and not any(Path(min(missing)).is_relative_to(r) for r in roots.values()):
            raise ConfigError(
                f"lake table {table}: {min(missing)} lies outside of all that is copied: the table "
                "was made where PERENNIAL_HOME or PERENNIAL_WAREHOUSE was another one, or was "
                "written otherwise; copy that folder yourself"
            )
        if missing:
            raise BackendError(
                f"lake table {table}: {min(missing)} is named and was not there to be copied; "
                "back up again, and look at the disk if it stays so"
            )
