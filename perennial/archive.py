"""What a backup is: a folder of files, and a manifest that says what each of them must be."""

from __future__ import annotations

import hashlib
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Literal
from urllib.parse import quote

from pydantic import AwareDatetime, BaseModel, ConfigDict, ValidationError

from ml_tasks.errors import BackendError, ConfigError, RejectedError
from ml_tasks.io import objects
from ml_tasks.io.content import bytes_hash

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pyarrow import fs

CHUNK = 2**22
READERS = 4
MANIFEST, SEAL = "manifest.json", "manifest.sha256"
SHOWN = 5
Kind = Literal["sqlite", "postgres", "files", "elsewhere"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Frozen):
    """One database, or one folder with all below it."""

    name: str
    kind: Kind
    address: str
    """Where it lies, and where it is restored to; without a password."""


class Entry(_Frozen):
    """One file of a backup."""

    part: str
    path: str
    """Below the part's address; empty for a database."""
    size: int
    sha256: str
    mode: int
    """Its permissions: some files hold secrets."""

    @property
    def place(self) -> str:
        """Where it lies below the backup."""
        return f"{self.part}/{self.path}" if self.path else f"{self.part}.database"


class Manifest(_Frozen):
    """All of a backup."""

    version: Literal[1] = 1
    made: AwareDatetime
    home: str
    commit: str
    parts: tuple[Part, ...]
    entries: tuple[Entry, ...]

    @property
    def size(self) -> int:
        """Its bytes."""
        return sum(entry.size for entry in self.entries)


def put(target: str, part: str, path: str, file: Path) -> Entry:
    """Copy a file into a backup; what is hashed is what was read, once.

    Raises:
        FileNotFoundError: It is gone.
        BackendError: It cannot be read, or the target not be written.
    """
    mode, digest, size = file.stat().st_mode & 0o777, hashlib.sha256(), 0
    if not os.access(file, os.R_OK):
        raise BackendError(f"{file}: may not be read; give this user the right to, or remove it")
    entry = Entry(part=part, path=path, size=0, sha256="", mode=mode)
    store, place = _open(target, entry.place)
    with file.open("rb") as source:
        try:
            with store.open_output_stream(place) as stream:
                while chunk := source.read(CHUNK):
                    digest.update(chunk)
                    size += len(chunk)
                    stream.write(chunk)
        except OSError as fault:
            raise BackendError(f"{target}/{entry.place}: cannot be written: {fault}") from fault
    return entry.model_copy(update={"size": size, "sha256": digest.hexdigest()})


def get(source: str, entry: Entry, file: Path) -> None:
    """Copy a file out of a backup and hold it against the manifest.

    Raises:
        RejectedError: It is not what it was.
        BackendError: It cannot be read, or the file not be written.
    """
    digest = hashlib.sha256()
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch(mode=0o600)
        with file.open("wb") as target:
            for chunk in _chunks(source, entry):
                digest.update(chunk)
                target.write(chunk)
    except OSError as fault:
        raise BackendError(f"{file}: cannot be written from {source}: {fault}") from fault
    if digest.hexdigest() != entry.sha256:
        raise RejectedError(f"{source}/{entry.place}: it is not what was backed up")
    file.chmod(entry.mode)


def seal(target: str, manifest: Manifest) -> None:
    """Write the manifest, and last its hash: without that there is no backup."""
    text = manifest.model_dump_json(indent=1)
    objects.write_text(f"{target}/{MANIFEST}", text)
    objects.write_text(f"{target}/{SEAL}", bytes_hash(text.encode()))


def made_in(folder: Path) -> bool:
    """Tell whether a folder is a backup that was made to its end."""
    try:
        text, sealed = (folder / MANIFEST).read_bytes(), (folder / SEAL).read_text()
    except (OSError, UnicodeDecodeError):
        return False
    return bytes_hash(text) == sealed.strip()


def read(source: str) -> Manifest:
    """Read a backup's manifest.

    Raises:
        ConfigError: There is no whole backup at the address.
        RejectedError: The manifest is not what it was.
    """
    try:
        sealed = objects.read_text(f"{source}/{SEAL}").strip()
        text = objects.read_bytes(f"{source}/{MANIFEST}")
    except FileNotFoundError as fault:
        raise ConfigError(
            f"{source}: came no {SEAL} there, wanted a backup that was made to its end; name the "
            "folder that perennial backup was given"
        ) from fault
    if bytes_hash(text) != sealed:
        raise RejectedError(f"{source}/{MANIFEST}: it is not what was backed up")
    try:
        found = Manifest.model_validate_json(text)
    except ValidationError as fault:
        raise ConfigError(f"{source}/{MANIFEST}: made by another version: {fault}") from fault
    names = {part.name for part in found.parts}
    for entry in found.entries:
        path = PurePosixPath(entry.path)
        if entry.part not in names or path.is_absolute() or ".." in path.parts:
            raise RejectedError(f"{source}/{MANIFEST}: {entry.place} lies outside of its parts")
    return found


def verify(source: str, manifest: Manifest) -> None:
    """Read every file of a backup and hold it against the manifest.

    Raises:
        RejectedError: Some are not what they were; names them.
    """
    with ThreadPoolExecutor(READERS) as pool:
        good = list(pool.map(lambda entry: _good(source, entry), manifest.entries))
    bad = [e.place for e, fine in zip(manifest.entries, good, strict=True) if not fine]
    if bad:
        more = f" and {len(bad) - SHOWN} more" if len(bad) > SHOWN else ""
        raise RejectedError(
            f"{source}: {', '.join(bad[:SHOWN])}{more}: not what was backed up; nothing was "
            "restored, take another backup"
        )


def _good(source: str, entry: Entry) -> bool:
    digest = hashlib.sha256()
    try:
        for chunk in _chunks(source, entry):
            digest.update(chunk)
    except FileNotFoundError:
        return False
    return digest.hexdigest() == entry.sha256


def _chunks(source: str, entry: Entry) -> Iterator[bytes]:
    store, place = objects.filesystem(_at(source, entry.place))
    with store.open_input_stream(place) as stream:
        while chunk := stream.read(CHUNK):
            yield bytes(chunk)


def _open(target: str, place: str) -> tuple[fs.FileSystem, str]:
    """Give where to write; local folders are made, for their owner alone."""
    store, path = objects.filesystem(_at(target, place))
    if target.startswith("file:"):
        Path(path).parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        Path(path).touch(mode=0o600)
    return store, path


def _at(root: str, place: str) -> str:
    return f"{root}/{quote(place) if root.startswith('file:') else place}"
