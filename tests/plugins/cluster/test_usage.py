"""What pods take: as their states say, and as the kubelets of a real cluster measure it."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

from kubernetes import client
from ml_launch.cluster import usage
from ml_launch.cluster.api import Cluster
from ml_launch.cluster.usage import Kubelets, Use
from ml_launch.outcome import Sample

from ml_tasks.config import TaskResources
from ml_tasks.io import runs

if TYPE_CHECKING:
    from collections.abc import Callable

    import pytest

    from ml_tasks.result import Usage
    from tests.plugins.cluster.conftest import Field

    Until = Callable[[Callable[[], Any]], Any]

HOLD = (
    "import time\nheld = bytearray(96 << 20)\nheld[::4096] = b'x' * (96 << 8)\n"
    "print('begun', flush=True)\nwhile True: time.sleep(0.001)"
)


def seen(field: Field, run: str) -> Usage:
    (made,) = runs.tries(field.environment, "p", run)
    assert made.usage is not None
    return made.usage


def test_a_pods_time_lies_beside_its_result(field: Field) -> None:
    assert field.run(field.command("import time; time.sleep(3)", run="time")).succeeded
    (use,) = seen(field, "time").pods.values()
    assert use.seconds >= 2


def test_two_pods_are_both_counted(field: Field) -> None:
    assert field.run(field.command("pass", run="both", pods=2)).succeeded
    assert len(seen(field, "both").pods) == 2


def test_what_was_out_of_memory_used_all_that_it_had(field: Field) -> None:
    script = "x = bytearray(1 << 30); x[:] = b'1' * (1 << 30)"
    assert not field.run(field.command(script, run="memory")).succeeded
    (use,) = seen(field, "memory").pods.values()
    assert use.peak_memory_mb >= 128


def test_the_kubelets_tell_memory_and_cpu(
    field: Field, until: Until, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "EVERY_SECONDS", 1.0)
    lines: list[str] = []
    done: list[Any] = []
    started = field.start(
        field.command(HOLD, run="curve"), TaskResources(cpus=0.05, memory_gb=0.25)
    )
    thread = threading.Thread(target=lambda: done.append(started.follow(lines.append)))
    thread.start()
    until(lambda: [s for s in started._use.curve if s.memory_mb > 96 and s.cpu_percent > 0])
    started.stop()
    thread.join(90)
    assert max(sample.memory_mb for sample in done[0].curve) > 96
    (use,) = seen(field, "curve").pods.values()
    assert 96 < use.peak_memory_mb < 256
    assert use.cpu_seconds > 0


def test_who_may_not_read_it_is_told_once(
    field: Field, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage, "EVERY_SECONDS", 0.0)
    cluster = Cluster(field.namespace)
    ours = client.ApiClient()
    ours.set_default_header("Impersonate-User", "nobody")
    cluster._core = client.CoreV1Api(ours)
    kubelets = Kubelets(cluster)
    pod = {
        "metadata": {"name": "x", "uid": "1"},
        "spec": {"nodeName": field.core.list_node().items[0].metadata.name},
        "status": {
            "startTime": "2026-01-01T00:00:00Z",
            "containerStatuses": [{"name": "task", "state": {"running": {}}}],
        },
    }
    with caplog.at_level(logging.INFO, "ml_launch"):
        assert [*kubelets.measured([pod]), *kubelets.measured([pod])] == []
    (told,) = [r.message for r in caplog.records if "not sampled" in r.message]
    assert "nodes/proxy" in told


def test_a_long_curve_is_told_in_few_points_with_its_peak() -> None:
    use = Use(1)
    use.curve = [Sample(second, 100 + (second == 777), 50) for second in range(1000)]
    told = use.told()["curve"]
    assert len(told) <= usage.POINTS
    assert [777, 101, 50] in told
    other = Use(1)
    other.recall(use.told())
    assert max(sample.memory_mb for sample in other.curve) == 101
