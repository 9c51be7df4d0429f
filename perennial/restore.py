"""Brings a backup's state back, to where it was."""

from __future__ import annotations

import os
import tempfile
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import sqlalchemy as sa
import typer

from ml_tasks.errors import BackendError, ConfigError, ExitCode, PerennialError
from ml_tasks.io import housekeeping
from ml_tasks.io.control import Control
from ml_tasks.io.schema import leases
from perennial import archive, backup, console, layout, servers, state
from perennial.given import environment

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from perennial.archive import Entry, Manifest, Part
    from perennial.services import Services


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
    if running := [n for n, one in services.processes.known().items() if one.alive]:
        raise ConfigError(f"{', '.join(running)} run in {services.home}: perennial down first")
    own = "postgres" in servers.wanted(services.given)
    with tempfile.TemporaryDirectory() as scratch:
        before = _as_it_was(services, source, manifest, Path(scratch))
        urls = _urls(before)
        _same_place(manifest, services, state.parts(before.environment, urls), own=own)
        if services.given.profile == "servers" and not own:
            layout.make(before.given, before.environment, "")
    if own:
        urls = {}
    if not replace:
        _require_empty(manifest, urls, _clusters(services.home, own=own))
    show("looking at each file")
    archive.verify(source, manifest)
    show("copying")
    aside: list[Path] = []
    mark = services.home / state.RESTORING
    mark.write_text(source)
    try:
        _aside(manifest, services.home, urls, aside)
        _bring_back(services, source, manifest, show, own=own)
    except (PerennialError, OSError) as fault:
        was = f"; what was there lies in {', '.join(map(str, aside))}" if aside else ""
        raise BackendError(
            f"{fault}; {services.home} is restored in part{was}: mend it and restore with --replace"
        ) from fault
    mark.unlink()
    return manifest, aside


def _bring_back(
    services: Services,
    source: str,
    manifest: Manifest,
    show: Callable[[str], None],
    *,
    own: bool,
) -> None:
    roots = {part.name: _root(part) for part in manifest.parts if part.kind in {"files", "sqlite"}}
    for entry in (one for one in manifest.entries if one.part in roots):
        archive.get(source, entry, roots[entry.part] / entry.path)
    with _stores(services, show) if own else nullcontext():
        urls = _urls(services)
        for entry in (one for one in manifest.entries if one.part not in roots):
            show(entry.part)
            _load(source, entry, urls[entry.part])
        _give_back(Control(services.environment.control))


def _require_empty(manifest: Manifest, urls: Mapping[str, str], clusters: Sequence[Path]) -> None:
    taken = [place for part in manifest.parts for place in _taken(part, urls)]
    if taken := [*taken, *map(str, clusters)]:
        raise ConfigError(
            f"{', '.join(taken)}: there is state, which would be lost; restore into an empty home, "
            "or say --replace, which sets it aside"
        )


def _as_it_was(services: Services, source: str, manifest: Manifest, scratch: Path) -> Services:
    """Give services as they would be with the passwords of the backup; on files, as they are."""
    if services.given.profile == "embedded":
        return services
    for entry in manifest.entries:
        if entry.part == state.HOME and entry.path.startswith("secrets/"):
            archive.get(source, entry, scratch / entry.path)
    return type(services)(services.given.model_copy(update={"home": scratch}))


@contextmanager
def _stores(services: Services, show: Callable[[str], None]) -> Iterator[None]:
    """Let the home's own servers run, with the passwords that were brought back."""
    services.stores_up(lambda name, seconds: show(f"{name} ready after {seconds:.0f} s"))
    try:
        yield
    finally:
        services.down()


def _load(source: str, entry: Entry, url: str) -> None:
    with tempfile.TemporaryDirectory() as scratch:
        archive.get(source, entry, copy := Path(scratch) / "dump")
        backup.postgres(
            "pg_restore", url, "--clean", "--if-exists", "--no-owner", "--exit-on-error", str(copy)
        )


def _urls(services: Services) -> dict[str, str]:
    return state.urls(services.environment, backup.databases(services))


def _give_back(control: Control) -> None:
    """Give back the lease that the backup held while it copied control."""
    own = leases.c.resource == housekeeping.LEASE
    with control.transaction() as tx:
        tx.execute(leases.update().where(own).values(released=True))


def _same_place(
    manifest: Manifest, services: Services, parts: Sequence[Part], *, own: bool
) -> None:
    """Hold the addresses of the backup against those that are given.

    The lake's files, results, verdicts and the audit log name whole addresses, and the audit log's
    hashes cover them: they cannot be written anew. Databases of the home's own may move.
    """
    if manifest.home != str(services.home):
        raise ConfigError(
            f"PERENNIAL_HOME: came {services.home}, and this is the backup of {manifest.home}, "
            "whose files name each other by that path: restore with "
            f"PERENNIAL_HOME={manifest.home}, which may be a link to a folder elsewhere"
        )
    now = {part.name: part for part in parts}
    for part in manifest.parts:
        moves = part.name == state.ONLINE or _of_home(part, services.home)
        moves |= own and part.kind == "postgres"
        if moves or (part.name in now and _place(now[part.name]) == _place(part)):
            continue
        came = now[part.name].address if part.name in now else None
        raise ConfigError(
            f"{part.name}: came {came}, and it was backed up from {part.address}; give the same "
            "addresses (PERENNIAL_*)"
        )


def _place(part: Part) -> str:
    """Give where a part lies, however its address was written."""
    if part.kind != "files":
        return part.address
    return os.path.normpath(state.path_of(part.address))


def _of_home(part: Part, home: Path) -> bool:
    if part.name == state.HOME:
        return part.address == home.as_uri()
    place = Path(part.address)
    inside = part.kind == "sqlite" and place.is_relative_to(home) and ".." not in place.parts
    return part.name.startswith(f"{state.HOME}-") and inside


def _clusters(home: Path, *, own: bool) -> list[Path]:
    """Give the folders of the home's own databases, which a restore makes anew."""
    return [place for name in ("postgres", "redis") if own and (place := home / name).exists()]


def _taken(part: Part, urls: Mapping[str, str]) -> list[str]:
    if part.kind == "postgres":
        if not urls:
            return []
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
    files = state.walk(root, home=part.name == state.HOME)
    return [str(root)] if next(files, None) is not None else []


def _root(part: Part) -> Path:
    return state.path_of(part.address) if part.kind == "files" else Path(part.address)


def _aside(manifest: Manifest, home: Path, urls: Mapping[str, str], folders: list[Path]) -> None:
    """Move what is there out of the way; `folders` is told where to."""
    stamp = f"{state.REPLACED}{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}"

    for part in manifest.parts:
        for place in _standing(part, home, urls):
            folder = (home if place.is_relative_to(home) else place.parent) / stamp
            if folder not in folders:
                folder.mkdir(mode=0o700, parents=True)
                folders.append(folder)
            place.rename(folder / place.name)


def _standing(part: Part, home: Path, urls: Mapping[str, str]) -> list[Path]:
    """Give what a part would be written over."""
    if part.kind == "postgres":
        return [_dumped(urls[part.name], home, part.name)] if _taken(part, urls) else []
    if part.kind == "sqlite":
        # A journal that stayed would be taken for the restored database's own.
        files = [Path(part.address + end) for end in ("", *state.BESIDE)]
        return [file for file in files if file.exists() and not file.is_relative_to(home)]
    if part.name == state.HOME:
        own = [place for place in home.iterdir() if state.moves(place.name)]
        return [*own, *_clusters(home, own=not urls)]
    return [root] if part.kind == "files" and (root := _root(part)).exists() else []


def _dumped(url: str, home: Path, name: str) -> Path:
    file = home / f"{name}.dump"
    backup.dump(url, file)
    return file
