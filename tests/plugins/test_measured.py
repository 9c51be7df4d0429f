from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from ml_launch import measured
from ml_launch.outcome import Sample

from ml_tasks.io import objects
from ml_tasks.result import PodUse, Usage

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

STARTED = datetime(2013, 1, 1, tzinfo=UTC)


def test_pods_are_written_beside_those_that_were_there(tmp_path: Path) -> None:
    result = f"{tmp_path.as_uri()}/result.json"
    measured.write(result, STARTED, {"a": PodUse(seconds=1)})
    later = STARTED + timedelta(seconds=9)
    for _ in range(2):
        measured.write(result, later, {"b": PodUse(seconds=2)})
    found = Usage.model_validate_json(objects.read_bytes(f"{tmp_path.as_uri()}/measured.json"))
    assert found.started == STARTED
    assert found.pods == {"a": PodUse(seconds=1), "b": PodUse(seconds=2)}


def test_a_store_that_refuses_is_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    measured.write(f"{(tmp_path / 'file').as_uri()}/result.json", STARTED, {})
    assert "what the task used is not recorded" in caplog.text


def test_a_trees_use_is_summed_from_its_samples() -> None:
    curve = [Sample(1, 100, 100), Sample(3, 300, 50), Sample(0.5, 200, 100)]
    assert measured.tree(4, curve) == PodUse(seconds=4, cpu_seconds=2, peak_memory_mb=300)
    assert measured.tree(0.1, []) == PodUse(seconds=0.1)
