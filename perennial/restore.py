"""Brings a backup's state back, to where it was."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import sqlalchemy as sa
import typer

from ml_tasks.errors import BackendError, ConfigError, ExitCode
from ml_tasks.io import housekeeping
from ml_tasks.io.control import Control
from ml_tasks.io.schema import leases
from perennial import archive, backup, console, state
from perennial.given import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from perennial.archive import Manifest, Part
    from perennial.services import Services

HOLDING = ("postgres", "redis", "s3")
"""Services that hold state, and may run."""


def command(
    source: Annotated[
        str, typer.Argument(help="What perennial backup was given: a path, file:// or s3://.")
    ],
    replace: Annotated[
        bool, typer.Option("--replace", help="Set aside the state that is there, and go on.")
    ] = False,
) -> int:
    """Bring a backup back, once each of its files has been found to be what it was."""
    from perennial.services import Services

    with console.waiting("restoring") as show:
        made, aside = run(Services(environment()), backup.address(source), show, replace=replace)
    console.say(f"{len(made.entries)} files of {made.made:%Y-%m-%d %H:%M:%S} UTC are back")
    for place in aside:
        console.say(f"what was there lies in {place} now")
    console.say("perennial up starts the services; perennial status shows what stands")
    return ExitCode.OK


def run(
    services: Services, source: str, show: Callable[[str], None], *, replace: bool
) -> tuple[Manifest, list[Path]]:
    """Bring the state of a home back; nothing is touched before all of it is found good.

    Args:
        services: Of the home.
        source: Where the backup is.
        show: Told what is done now.
        replace: Set aside what is there.

    Returns:
        What was backed up, and where to what was there has gone.

    Raises:
        ConfigError: It is a backup of another place, something runs, or there is state.
        RejectedError: A file of the backup is not what it was; names it.
    """
    manifest = archive.read(source)
    urls = state.urls(services.given, backup.databases(services))
    _same_place(manifest, services, urls)
    known = services.processes.known()
    if running := [n for n, one in known.items() if one.alive and n not in HOLDING]:
        raise ConfigError(f"{', '.join(running)} run in {services.home}: perennial down first")
    taken = [place for part in manifest.parts for place in _taken(part, urls)]
    if taken and not replace:
        raise ConfigError(
            f"{', '.join(taken)}: there is state, which would be lost; restore into an empty home, "
            "or say --replace, which sets it aside"
        )
    show("looking at each file")
    archive.verify(source, manifest)
    show("copying")
    aside = _aside(manifest, services.home, urls)
    roots = {part.name: _root(part) for part in manifest.parts if part.kind != "elsewhere"}
    kinds = {part.name: part.kind for part in manifest.parts}
    for entry in manifest.entries:
        if kinds[entry.part] != "postgres":
            archive.get(source, entry, roots[entry.part] / entry.path)
            continue
        show(entry.part)
        with tempfile.TemporaryDirectory() as scratch:
            archive.get(source, entry, copy := Path(scratch) / "dump")
            backup.postgres(
                "pg_restore", urls[entry.part], "--clean", "--if-exists", "--no-owner",
                "--exit-on-error", str(copy),
            )  # fmt: skip
    _give_back(Control(services.given.control))
    return manifest, aside


def _give_back(control: Control) -> None:
    """Give back the lease that the backup held while it copied control."""
    own = leases.c.resource == housekeeping.LEASE
    with control.transaction() as tx:
        tx.execute(leases.update().where(own).values(released=True))


def _same_place(manifest: Manifest, services: Services, urls: Mapping[str, str]) -> None:
    """Hold the addresses of the backup against those that are given.

    The lake's files, results, verdicts and the audit log name whole addresses, and the audit log's
    hashes cover them: they cannot be written anew.
    """
    if manifest.home != str(services.home):
        raise ConfigError(
            f"PERENNIAL_HOME: came {services.home}, and this is the backup of {manifest.home}, "
            "whose files name each other by that path: restore with "
            f"PERENNIAL_HOME={manifest.home}, which may be a link to a folder elsewhere"
        )
    now = {part.name: part.address for part in state.parts(services.given, urls)}
    for part in manifest.parts:
        own = part.name.startswith("home")
        if not own and part.name != state.ONLINE and now.get(part.name) != part.address:
            raise ConfigError(
                f"{part.name}: came {now.get(part.name)}, and it was backed up from "
                f"{part.address}; give the same addresses (PERENNIAL_*)"
            )


def _taken(part: Part, urls: Mapping[str, str]) -> list[str]:
    if part.kind == "postgres":
        engine = sa.create_engine(urls[part.name], poolclass=sa.pool.NullPool)
        try:
            return [part.address] if sa.inspect(engine).get_table_names() else []
        except sa.exc.OperationalError as fault:
            raise BackendError(f"{part.name} at {part.address}: {fault.orig}") from fault
    if part.kind == "elsewhere":
        return []
    root = _root(part)
    if part.kind == "sqlite":
        return [part.address] if root.exists() else []
    return [str(root)] if next(state.walk(root), None) is not None else []


def _root(part: Part) -> Path:
    return state.path_of(part.address) if part.kind == "files" else Path(part.address)


def _aside(manifest: Manifest, home: Path, urls: Mapping[str, str]) -> list[Path]:
    """Move what is there out of the way; give where to."""
    stamp = f"{state.REPLACED}{datetime.now(UTC):%Y%m%dT%H%M%SZ}"
    moved: list[Path] = []

    def move(place: Path, folder: Path) -> None:
        if folder not in moved:
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            moved.append(folder)
        place.rename(folder / place.name)

    for part in manifest.parts:
        if part.kind == "postgres" and _taken(part, urls):
            move(_dumped(urls[part.name], home, part.name), home / stamp)
        elif part.kind == "sqlite" and (file := Path(part.address)).exists():
            if not file.is_relative_to(home):
                move(file, file.parent / stamp)
        elif part.name == "home" and home.is_dir():
            for place in [place for place in home.iterdir() if state.moves(place.name)]:
                move(place, home / stamp)
        elif part.kind == "files" and (root := _root(part)).exists():
            move(root, root.parent / stamp)
    return moved


def _dumped(url: str, home: Path, name: str) -> Path:
    file = home / f"{name}.dump"
    backup.dump(url, file)
    return file
