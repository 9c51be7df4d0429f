from __future__ import annotations

import zipfile
from typing import TYPE_CHECKING

import numpy as np
import pytest

from ml_tasks.io import folders, objects

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "made"
    (made / "below").mkdir(parents=True)
    (made / "about.json").write_text("{}")
    np.savez(made / "below" / "kept.npz", x=np.arange(3), y=np.ones(2))
    return made


def test_what_is_packed_comes_back(folder: Path, tmp_path: Path) -> None:
    uri = (tmp_path / "one.zip").as_uri()
    objects.write_bytes(uri, folders.packed(folder))
    with folders.unpacked(uri) as found:
        assert folders.content_hash(found) == folders.content_hash(folder)
        assert np.load(found / "below" / "kept.npz")["x"].tolist() == [0, 1, 2]
    assert not found.exists()


def test_arrays_count_and_not_how_they_are_packed(folder: Path) -> None:
    before, file = folders.content_hash(folder), folder / "below" / "kept.npz"
    np.savez_compressed(file, y=np.ones(2), x=np.arange(3))
    assert folders.content_hash(folder) == before
    np.savez(file, x=np.arange(3), y=np.zeros(2))
    assert folders.content_hash(folder) != before


def test_names_count(folder: Path) -> None:
    before = folders.content_hash(folder)
    (folder / "about.json").rename(folder / "about.txt")
    assert folders.content_hash(folder) != before


def test_an_object_that_is_no_archive(tmp_path: Path) -> None:
    (tmp_path / "torn.zip").write_bytes(b"PK")
    with pytest.raises(zipfile.BadZipFile), folders.unpacked((tmp_path / "torn.zip").as_uri()):
        pytest.fail("it was opened")
