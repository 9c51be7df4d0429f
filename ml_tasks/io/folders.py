"""A folder as one object: equal files, equal bytes."""

from __future__ import annotations

import io
import zipfile
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from ml_tasks.io import objects

if TYPE_CHECKING:
    from collections.abc import Iterator


def packed(folder: Path) -> bytes:
    """Give a folder's files, with all below it, as a zip archive that knows no times."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for file in sorted(p for p in folder.rglob("*") if p.is_file()):
            entry = zipfile.ZipInfo(file.relative_to(folder).as_posix())
            archive.writestr(entry, file.read_bytes(), zipfile.ZIP_DEFLATED)
    return made.getvalue()


@contextmanager
def unpacked(uri: str) -> Iterator[Path]:
    """Give a folder with the files of an object that `packed` made; it is gone afterwards.

    Raises:
        FileNotFoundError: There is no such object.
    """
    with TemporaryDirectory(prefix="perennial-") as place:
        with zipfile.ZipFile(io.BytesIO(objects.read_bytes(uri))) as archive:
            archive.extractall(place)
        yield Path(place)
