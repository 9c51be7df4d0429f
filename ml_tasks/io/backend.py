"""What a store or a database says when it is away, full, locked or read-only."""

from __future__ import annotations

import errno
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ml_tasks.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

NO_LINKS = (errno.EPERM, errno.ENOTSUP, errno.ENOSYS)
"""What a disk says that knows no hard links."""
DAMAGED = "it is damaged, or no database: restore a backup"
MENDS = {
    "not a database": DAMAGED,
    "malformed": DAMAGED,
    "locked": "another process writes to it: wait for it, or end it",
    "full": "make room on its disk",
    "No space left": "make room on its disk",
    "readonly": "let this user write there",
    "Read-only": "let this user write there",
    "Permission denied": "let this user read and write there",
}


def said(fault: object) -> str:
    """Give a fault on one line, and what to do about it."""
    text = " ".join(str(fault).split())
    return "; ".join([text, *(mend for word, mend in MENDS.items() if word in text)][:2])


def damaged(fault: sa.exc.DatabaseError) -> bool:
    """Tell whether a file is no database, or no whole one: no later try will read it."""
    # What is more special is no fault of the file's; a server's faults are of many kinds.
    return type(fault) is sa.exc.DatabaseError and isinstance(fault.orig, sqlite3.DatabaseError)


@contextmanager
def answering(what: str) -> Iterator[None]:
    """Turn what a store of tables says into an error after which a later try may succeed.

    Args:
        what: The store, for the message.

    Raises:
        BackendError: Its catalog or its files did not do what they were asked for.
        ConfigError: Its catalog is damaged.
    """
    try:
        yield
    except sa.exc.OperationalError as fault:
        raise BackendError(f"{what}'s catalog: {said(fault.orig)}") from fault
    except sa.exc.DatabaseError as fault:
        if not damaged(fault):
            raise
        raise ConfigError(f"{what}'s catalog: {said(fault.orig)}") from fault
    except OSError as fault:
        raise BackendError(f"{what}'s files: {said(fault)}") from fault


@contextmanager
def reached(uri: str, done: str, *, may_lack: bool = False) -> Iterator[None]:
    """Turn what a store of objects says into an error after which a later try may succeed.

    Args:
        uri: The object, for the message.
        done: What is done with it, for the message: `read`, `written`, `listed`.
        may_lack: Whether that there is none is no fault of the store's, and told as it is.

    Raises:
        FileNotFoundError: There is none, and there need not be.
        BackendError: The store refused, or did not answer.
        ConfigError: A name that was met is no text.
    """
    try:
        yield
    except UnicodeDecodeError as fault:
        raise ConfigError(f"{uri}: {fault.object!r} is no UTF-8; rename the file") from fault
    except OSError as fault:
        if may_lack and isinstance(fault, FileNotFoundError):
            raise
        raise BackendError(f"{uri}: cannot be {done}: {said(fault)}") from fault
