"""What keeps a task from running."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from ml_launch.cluster import waiting
from ml_launch.cluster.admission import Refusal
from ml_launch.cluster.job import QUEUED
from ml_launch.cluster.state import Cause, Wanted

from ml_tasks.config import TaskResources

POD: dict[str, Any] = {"metadata": {"name": "train-1-0"}}
NOW = datetime(2024, 1, 1, tzinfo=UTC)
REFUSAL = Refusal(NOW - timedelta(hours=1), "quota", passing=True)


def pod(*, refused: str = "", reason: str = "", message: str = "") -> dict[str, Any]:
    inner = {"waiting": {"reason": reason, "message": message}} if reason else {"running": {}}
    condition = {"type": "PodScheduled", "status": "False" if refused else "True"}
    return {
        **POD,
        "status": {
            "conditions": [{**condition, "message": refused}],
            "containerStatuses": [{"name": "task", "state": inner}],
        },
    }


def never(_job: object) -> str:
    raise AssertionError("nobody waits in a queue")


def test_what_a_pod_waits_for_is_said() -> None:
    assert waiting.pods([pod()]) == ""
    assert waiting.pods([pod(reason="ContainerCreating")]) == ""
    refused = pod(refused="0/2 nodes are available")
    assert waiting.pods([refused]) == "no node for train-1-0 yet: 0/2 nodes are available"
    pulling = pod(reason="ErrImagePull", message="no such host")
    assert waiting.pods([pulling]) == "train-1-0 waits: ErrImagePull no such host"


def test_the_queue_of_a_suspended_job_is_named() -> None:
    labels = {"kueue.x-k8s.io/queue-name": "gpus"}
    metadata = {"name": "train-1", "labels": labels}
    assert waiting.queue({"metadata": metadata, "spec": {"suspend": True}}) == "waits in queue gpus"
    assert waiting.queue({"metadata": metadata, "spec": {"suspend": False}}) == ""
    assert waiting.queue({"metadata": metadata}) == ""
    by_hand = {"metadata": {"name": "train-1"}, "spec": {"suspend": True}}
    assert "suspended by somebody" in waiting.queue(by_hand)


def test_a_refusal_is_told_before_all_else_and_pods_before_the_queue() -> None:
    job = {"metadata": {"name": "train-1"}, "spec": {"suspend": True}}
    pulling = pod(reason="ErrImagePull")
    assert waiting.line(REFUSAL, job, [pulling], never) == "no pod is created: quota"
    assert waiting.line(None, job, [pulling], never) == "train-1-0 waits: ErrImagePull"
    assert "suspended by somebody" in waiting.line(None, job, [], lambda _job: "")
    assert waiting.line(None, None, [], never) == ""
    assert waiting.line(None, {**job, "spec": {}}, [], never) == ""


def test_the_queues_word_is_told_behind_its_name() -> None:
    labels = {"kueue.x-k8s.io/queue-name": "gpus"}
    job = {"metadata": {"name": "train-1", "uid": "a", "labels": labels}, "spec": {"suspend": True}}
    full = {"type": "QuotaReserved", "status": "False", "message": "no quota"}
    taken = {"type": "QuotaReserved", "status": "True", "message": "taken"}
    workloads = [
        {"metadata": {"labels": {waiting.OF_JOB: uid}}, "status": {"conditions": [told]}}
        for uid, told in (("a", full), ("b", taken))
    ]
    workloads += [{"metadata": {"labels": {waiting.OF_JOB: "c"}}}, {"metadata": {}, "status": {}}]
    assert waiting.turns(workloads) == {"a": "no quota"}
    found = waiting.turns(workloads)
    said = waiting.line(None, job, [], lambda one: found.get(one["metadata"]["uid"], ""))
    assert said == "waits in queue gpus: no quota"


def test_why_there_are_no_pods_is_asked_while_the_task_goes_on() -> None:
    wanted = Wanted("train", 1, TaskResources(), pending_seconds=60)
    job = {"metadata": {"name": "train-1"}}
    how = waiting.verdict([], wanted, NOW, lambda: job, lambda: REFUSAL)
    assert how is not None
    assert how.cause is Cause.UNSCHEDULABLE
    assert waiting.verdict([], wanted, NOW, lambda: job, lambda: None) is None
    asked: list[str] = []
    gone = waiting.verdict([], wanted, NOW, lambda: None, lambda: asked.append("why"))
    assert gone is not None
    assert (gone.cause, asked) == (Cause.DELETED, [])


def test_pods_of_nodes_that_do_not_answer_are_named() -> None:
    late = {"metadata": {"name": "x", "deletionTimestamp": "2023-12-31T23:00:00Z"}}
    assert waiting.lost([POD, late], NOW) == ["x"]


def test_a_turn_in_a_queue_is_told_from_work() -> None:
    made = (NOW - timedelta(seconds=90)).isoformat()
    job: dict[str, Any] = {"metadata": {"creationTimestamp": made}, "status": {}}
    assert waiting.queued(job, NOW) == 0  # nobody holds it back: it only has not begun yet
    held = {**job, "spec": {"suspend": True}}
    assert waiting.queued(held, NOW) == 90
    began = {"startTime": (NOW - timedelta(seconds=30)).isoformat()}
    assert waiting.queued({**job, "status": began}, NOW) == 60
    again = {**job["metadata"], "annotations": {QUEUED: "7200"}}
    assert waiting.queued({**job, "metadata": again, "status": began}, NOW) == 7260


def test_what_was_not_listed_yet_is_not_known() -> None:
    assert not waiting.is_known(None)
    assert not waiting.is_known({"metadata": {"name": "not listed yet"}})
    assert waiting.is_known({"metadata": {"creationTimestamp": "2024-01-01T00:00:00Z"}})
