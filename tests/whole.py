"""Keeps tests of other processes off a cluster while one takes it apart."""

from __future__ import annotations

import fcntl
import hashlib
import os
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator
    from contextlib import AbstractContextManager


def shared() -> AbstractContextManager[None]:
    """Use the cluster beside others, who need it whole, too."""
    return _locked(fcntl.LOCK_SH)


def alone() -> AbstractContextManager[None]:
    """Use the cluster when nobody else does."""
    return _locked(fcntl.LOCK_EX)


@contextmanager
def _locked(how: int) -> Iterator[None]:
    which = hashlib.sha256(os.environ.get("KUBECONFIG", "").encode()).hexdigest()[:8]  # noqa: TID251
    with (Path(tempfile.gettempdir()) / f"perennial-tests-{which}.lock").open("w") as file:
        fcntl.flock(file, how)
        yield
