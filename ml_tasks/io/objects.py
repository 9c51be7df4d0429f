"""Objects at `file://` and `s3://` addresses; each write is seen whole or not at all."""

from __future__ import annotations

import contextlib
import os
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from ml_tasks.errors import BackendError, ConfigError, RejectedError
from ml_tasks.io.backend import NO_LINKS, reached, said
from ml_tasks.io.content import bytes_hash
from ml_tasks.result import Result

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa
    from pyarrow import fs
    from typing_extensions import Buffer


@dataclass(frozen=True, slots=True)
class Object:
    """One stored object."""

    uri: str
    size: int
    modified: datetime


def filesystem(uri: str) -> tuple[fs.FileSystem, str]:
    """Give the file system of an address and the path within it.

    Raises:
        ConfigError: The address is neither `file://` nor `s3://`.
        BackendError: The store cannot be reached.
    """
    from pyarrow import fs

    parts = urlsplit(uri)
    if parts.scheme == "file":
        return fs.LocalFileSystem(), unquote(parts.path)
    if parts.scheme == "s3":
        # A key may hold what an address may not, such as a space.
        try:
            store, _bucket = fs.FileSystem.from_uri(f"s3://{parts.netloc}")
        except OSError as fault:
            raise BackendError(f"{uri}: the store cannot be reached: {fault}") from fault
        return store, uri.removeprefix("s3://")
    raise ConfigError(f"address {uri!r}: wanted file:///… or s3://bucket/…")


def read_bytes(uri: str, digest: str | None = None) -> bytes:
    """Read an object.

    Args:
        uri: Where it lies.
        digest: SHA-256 that its bytes must have.

    Raises:
        FileNotFoundError: There is none.
        BackendError: The store did not answer.
        RejectedError: Its bytes are others.
    """
    data = _read(uri)
    if digest and (came := bytes_hash(data)) != digest:
        raise RejectedError(
            f"{uri}: its bytes have the SHA-256 {came[:12]}, {digest[:12]} were written; run the "
            "task that wrote it again"
        )
    return data


def _read(uri: str) -> bytes:
    with reached(uri, "read", may_lack=True):
        if uri.startswith("file:"):
            # Without Arrow: who launches a task reads its result, and nothing else.
            return Path(unquote(urlsplit(uri).path)).read_bytes()
        store, path = filesystem(uri)
        with store.open_input_stream(path) as stream:
            return bytes(stream.read())


def opened(uri: str) -> pa.NativeFile:
    """Open an object to be read part by part.

    Raises:
        FileNotFoundError: There is none.
        BackendError: The store did not answer.
    """
    store, path = filesystem(uri)
    with reached(uri, "read", may_lack=True):
        return store.open_input_file(path)


def write_bytes(uri: str, data: Buffer) -> None:
    """Write an object; a reader sees the old one or the new one, never a part.

    Raises:
        BackendError: The store refused: no room, no permission, no answer.
    """
    store, path = filesystem(uri)
    with reached(uri, "written"):
        if uri.startswith("file:"):
            with _drafted(Path(path), data) as draft:
                draft.replace(path)
        else:
            with store.open_output_stream(path) as stream:
                stream.write(data)


@contextlib.contextmanager
def _drafted(target: Path, data: Buffer) -> Iterator[Path]:
    """Have the bytes beside the file that they are to be."""
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{uuid.uuid4().hex}")
    try:
        draft.write_bytes(data)
        yield draft
    finally:
        draft.unlink(missing_ok=True)


def create_bytes(uri: str, data: Buffer) -> bool:
    """Write an object where there is none, and tell whether it was written: by one of two writers.

    Raises:
        BackendError: The store refused: no room, no permission, no answer.
    """
    created = _created_on_s3(uri, data) if uri.startswith("s3:") else _linked(uri, data)
    if created is not None:
        return created
    # A store that knows no such thing: of two that look before either has written, none is told.
    if exists(uri):
        return False
    write_bytes(uri, data)
    return True


def _linked(uri: str, data: Buffer) -> bool | None:
    _store, path = filesystem(uri)
    with reached(uri, "written"):
        try:
            with _drafted(Path(path), data) as draft:
                os.link(draft, path)
        except FileExistsError:
            return False
        except OSError as fault:
            if fault.errno not in NO_LINKS:
                raise
            return None
        return True


def _created_on_s3(uri: str, data: Buffer) -> bool | None:
    """Ask for it as Arrow cannot; boto3's usual session would keep the first keys that it saw."""
    import boto3
    from botocore.exceptions import BotoCoreError, ClientError

    bucket, _slash, name = uri.removeprefix("s3://").partition("/")
    try:
        client = boto3.Session().client("s3")
        client.put_object(Bucket=bucket, Key=name, Body=bytes(data), IfNoneMatch="*")
    except (ClientError, BotoCoreError) as fault:
        match getattr(fault, "response", {}).get("ResponseMetadata", {}).get("HTTPStatusCode"):
            case 409 | 412:  # one is just being written; there is one
                return False
            case 501:  # the server takes no condition
                return None
        raise BackendError(f"{uri}: cannot be written: {said(fault)}") from fault
    return True


def read_text(uri: str) -> str:
    """Read an object as UTF-8 text."""
    return read_bytes(uri).decode()


def write_text(uri: str, text: str) -> None:
    """Write UTF-8 text."""
    write_bytes(uri, text.encode())


def exists(uri: str) -> bool:
    """Tell whether there is an object at the address.

    Raises:
        BackendError: The store did not answer.
    """
    from pyarrow import fs

    store, path = filesystem(uri)
    with reached(uri, "looked at"):
        return bool(store.get_file_info(path).type == fs.FileType.File)


def delete(uri: str) -> None:
    """Remove an object; one that is gone already is no fault.

    Raises:
        BackendError: The store refused, or did not answer.
    """
    store, path = filesystem(uri)
    with reached(uri, "removed"), contextlib.suppress(FileNotFoundError):
        store.delete_file(path)


def find(prefix: str) -> list[Object]:
    """List the objects below a folder address, by address; drafts are left out.

    Raises:
        BackendError: The store did not answer.
        ConfigError: A file's name is no UTF-8.
    """
    from pyarrow import fs

    store, path = filesystem(prefix)
    local = prefix.startswith("file:")
    with reached(prefix, "listed"):
        infos = store.get_file_info(fs.FileSelector(path, recursive=True, allow_not_found=True))
        found = [
            Object(
                Path(i.path).as_uri() if local else f"s3://{i.path}",
                i.size,
                (i.mtime or datetime.now(UTC)).astimezone(UTC),
            )
            for i in infos
            if i.type == fs.FileType.File and not i.base_name.startswith(".")
        ]
    return sorted(found, key=lambda one: one.uri)


def read_result(uri: str) -> Result:
    """Read a task's result."""
    return Result.model_validate_json(read_bytes(uri))


def write_result(uri: str, result: Result) -> None:
    """Write a task's result."""
    write_text(uri, result.model_dump_json(indent=2))


def create_result(uri: str, result: Result) -> bool:
    """Write a task's result where there is none, and tell whether that was so."""
    return create_bytes(uri, result.model_dump_json(indent=2).encode())
