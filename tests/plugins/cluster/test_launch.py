"""What becomes of tasks whose pods are really run, killed, evicted and lost."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ml_launch.cluster import launch

from ml_tasks.config import TaskResources
from ml_tasks.errors import BackendError, ConfigError
from tests.e2e.faults import Faults

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from ml_launch.command import Command
    from ml_launch.outcome import Outcome

    from tests.plugins.cluster.conftest import Field

    Until = Callable[[Callable[[], Any]], Any]

WAIT = "import time; print('begun', flush=True); time.sleep(600)"
HEARD = """
import os, time
print("one", flush=True)
for _ in range(600):
    if os.path.exists("/tmp/heard"):
        break
    time.sleep(0.1)
else:
    raise SystemExit("nobody has heard of it for a minute")
print("two")
"""
TINY = {"cpus": 0.05, "memory_gb": 0.125}


def own(lines: list[str]) -> list[str]:
    """Give what a task has said, without what a slow node has: that its pod waits."""
    return [line for line in lines if " waits: " not in line]


def test_a_task_runs_in_a_pod_and_its_log_comes_live(field: Field, until: Until) -> None:
    """It says the second line when somebody has heard the first one."""
    lines: list[str] = []
    started = field.start(field.command(HEARD))

    def hear(line: str) -> None:
        lines.append(line)
        if line == "one":
            (pod,) = field.pods(started)
            Faults(field.core, field.namespace).inside(pod, "open('/tmp/heard', 'w')")

    outcome = started.follow(hear)
    assert outcome.succeeded, lines
    assert own(lines) == ["one", "two"]
    until(lambda: not field.pods(started))


def test_an_exit_code_is_what_it_is_on_a_laptop(field: Field) -> None:
    outcome = field.run(field.command("print('no'); raise SystemExit(65)"))
    assert (outcome.exit_code, outcome.hopeless) == (65, True)
    assert "no" in outcome.tail
    assert any("SuccessfulCreate" in line for line in outcome.tail)


def test_too_much_memory_says_how_much_to_ask_for(field: Field) -> None:
    outcome = field.run(field.command("x = bytearray(1 << 30); x[:] = b'1' * (1 << 30)"))
    assert outcome.message == (
        "the task used more than the 0.125 GB of memory that it was given; raise "
        "resources.derive.memory_gb, to 0.5 for a start, or give it less to do"
    )
    assert outcome.hopeless


def test_too_much_disk_says_what_to_raise(field: Field) -> None:
    script = (
        "import time\nf = open('/tmp/x', 'wb')\n"
        "[f.write(bytes(1 << 20)) for _ in range(64)]; f.flush(); time.sleep(600)"
    )
    outcome = field.run(field.command(script), TaskResources(**TINY, disk_gb=0.02))
    assert "raise resources.derive.disk_gb" in outcome.message
    assert outcome.hopeless


def test_an_image_that_is_none(field: Field) -> None:
    field.environment = field.environment.model_copy(update={"image": "No Image"})
    outcome = field.run(field.command("pass"))
    assert outcome.hopeless
    assert "InvalidImageName" in outcome.message


def test_a_secret_that_is_not_there(field: Field) -> None:
    field.environment = field.environment.model_copy(update={"secret": "nobodys"})
    outcome = field.run(field.command("pass"))
    assert outcome.hopeless
    assert 'secret "nobodys" not found' in outcome.message


def test_a_volume_that_is_not_there(field: Field, tmp_path: Path) -> None:
    volume = {"name": "x", "configMap": {"name": "nobodys"}}
    template = tmp_path / "template.yaml"
    mounted = {"name": "task", "volumeMounts": [{"name": "x", "mountPath": "/x"}]}
    spec = {"volumes": [volume], "containers": [mounted]}
    template.write_text(yaml.safe_dump({"kind": "Pod", "spec": spec}))
    change = {"pod_template": template, "pending_minutes": 0.2}
    field.environment = field.environment.model_copy(update=change)
    outcome = field.run(field.command("pass"))
    assert not outcome.hopeless
    assert "has no volumes or no network on its node; its events say which" in outcome.message
    assert any('configmap "nobodys" not found' in line for line in outcome.tail)


def test_no_node_takes_it(field: Field) -> None:
    field.environment = field.environment.model_copy(update={"pending_minutes": 0.05})
    lines: list[str] = []
    outcome = field.run(field.command("pass"), TaskResources(cpus=9000, memory_gb=0.1), lines)
    assert not outcome.hopeless
    assert "ask for less in resources.derive" in outcome.message
    assert any("Insufficient cpu" in line for line in lines)


def test_a_namespace_that_is_not_there(field: Field) -> None:
    field.environment = field.environment.model_copy(update={"namespace": "nobodys"})
    with pytest.raises(ConfigError, match='namespaces "nobodys" not found'):
        field.start(field.command("pass"))
    field.started.clear()


def test_what_is_stopped_is_gone(field: Field, until: Until) -> None:
    lines: list[str] = []
    started = field.start(field.command(WAIT))
    done: list[Outcome] = []
    thread = threading.Thread(target=lambda: done.append(started.follow(lines.append)))
    thread.start()
    until(lambda: lines)
    started.stop("it took longer than 3 s")
    thread.join(90)
    (outcome,) = done
    assert outcome.message == "it took longer than 3 s"
    assert not outcome.hopeless
    until(lambda: not field.pods(started))


def test_the_last_task_of_a_run_ends_what_goes_on(field: Field, until: Until) -> None:
    left, others = field.command(WAIT, run="left"), field.command(WAIT, run="others")
    started, apart = field.start(left), field.start(others)
    until(lambda: field.pods(started))
    until(lambda: field.pods(apart))
    launch.end_others(replace(left, task="record"), ["derive"], field.environment)
    until(lambda: not field.pods(started))
    assert field.pods(apart)


def test_a_running_pod_is_found_again(field: Field, until: Until) -> None:
    first = field.start(field.command(WAIT, run="again"))
    until(lambda: [p for p in field.pods(first) if p.status.phase == "Running"])
    first.abandon("the scheduler is gone")
    with pytest.raises(BackendError, match="the scheduler is gone"):
        first.follow(print)
    second = field.start(field.command(WAIT, run="again", attempt=2))
    assert second.name == first.name
    assert second.result == first.result
    assert len(field.pods(second)) == 1


def test_with_other_inputs_it_is_other_work(field: Field, until: Until) -> None:
    def given(script: str, attempt: int, made: int) -> Command:
        arguments = ("--attempt", str(attempt), "--input", f"assemble={made}")
        return field.command(script, run="inputs", attempt=attempt, arguments=arguments)

    first = field.start(given(WAIT, 1, 1))
    until(lambda: [p for p in field.pods(first) if p.status.phase == "Running"])
    (own_pod,) = field.pods(first)
    (found,) = field.pods(field.start(given(WAIT, 2, 1)))
    assert found.metadata.uid == own_pod.metadata.uid
    third, lines = field.start(given("print('anew')", 3, 2)), list[str]()
    # Its pods, which may still be listed, are not the new one's.
    assert third.name != first.name
    assert third.follow(lines.append).succeeded
    assert own(lines) == ["anew"]


def test_what_was_not_read_is_read_by_the_next_attempt(field: Field, until: Until) -> None:
    first = field.start(field.command("print('done')", run="unread"))
    until(lambda: [p for p in field.pods(first) if p.status.phase == "Succeeded"])
    outcome = field.run(field.command("raise SystemExit(1)", run="unread", attempt=2))
    assert outcome.succeeded
    assert outcome.tail == ()


def test_a_failed_job_is_not_taken_up_by_the_next_attempt(field: Field, until: Until) -> None:
    first = field.start(field.command("raise SystemExit(1)", run="failed"))
    until(lambda: [p for p in field.pods(first) if p.status.phase == "Failed"])
    until(lambda: field.failed(first))
    second = field.start(field.command("print('well')", run="failed", attempt=2))
    lines: list[str] = []
    assert second.follow(lines.append).succeeded
    assert own(lines) == ["well"]


@pytest.mark.parametrize("how", ["evicted", "deleted"])
def test_what_the_cluster_takes_away_begins_again(field: Field, until: Until, how: str) -> None:
    lines: list[str] = []
    started = field.start(field.command(WAIT))
    done: list[Outcome] = []
    thread = threading.Thread(target=lambda: done.append(started.follow(lines.append)))
    thread.start()
    (pod,) = until(lambda: [p for p in field.pods(started) if p.status.phase == "Running"])
    until(lambda: lines)
    if how == "evicted":
        body = {"metadata": {"name": pod.metadata.name}}
        field.core.create_namespaced_pod_eviction(pod.metadata.name, field.namespace, body)
    else:
        field.core.delete_namespaced_pod(pod.metadata.name, field.namespace)
    until(lambda: lines.count("begun") == 2)
    started.stop()
    thread.join(90)
    assert done
    assert started.name.endswith("-1") == (how == "deleted")


def test_pods_of_one_task_share_its_processes(field: Field) -> None:
    lines: list[str] = []
    script = "import os, socket; print(os.environ['JOB_COMPLETION_INDEX'], socket.gethostname())"
    started = field.start(field.command(script, pods=2))
    assert started.follow(lines.append).succeeded
    assert sorted(own(lines)) == [f"[{i}] {i} {started.name}-{i}" for i in range(2)]


def test_pods_that_share_a_task_begin_again_together(field: Field, until: Until) -> None:
    lines: list[str] = []
    started = field.start(field.command(WAIT, pods=2))
    thread = threading.Thread(target=lambda: started.follow(lines.append), daemon=True)
    thread.start()
    until(lambda: len(lines) == 2)
    one = field.pods(started)[0].metadata.name
    field.core.delete_namespaced_pod(one, field.namespace)
    until(lambda: lines.count("[0] begun") == lines.count("[1] begun") == 2)
    assert started.name.endswith("-1")
    started.stop()
    thread.join(90)
