"""What a store or a database says when it is away, full, locked or read-only."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ml_tasks.errors import BackendError

if TYPE_CHECKING:
    from collections.abc import Iterator


@contextmanager
def answering(what: str) -> Iterator[None]:
    """Turn it into an error after which a later try may succeed.

    Args:
        what: The store, for the message.

    Raises:
        BackendError: It did not do what it was asked for.
    """
    try:
        yield
    except sa.exc.OperationalError as fault:
        raise BackendError(f"{what}: {fault.orig}") from fault
    except OSError as fault:
        raise BackendError(f"{what}: {' '.join(str(fault).split())}") from fault
