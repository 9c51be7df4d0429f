"""What keeps a task from running."""

from __future__ import annotations

from typing import Any

from ml_launch.cluster import waiting

POD: dict[str, Any] = {"metadata": {"name": "train-1-0"}}


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
