"""The manifest of a task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from ml_launch.cluster import job
from ml_launch.command import command

from ml_tasks.config import Environment, TaskResources
from ml_tasks.config.pipeline import Toleration
from ml_tasks.errors import ConfigError
from ml_tasks.flow import step

if TYPE_CHECKING:
    from pathlib import Path

WINDOW = "2013-01-01/2013-01-08"
SERVERS = Environment(
    profile="servers",
    launcher="kubernetes",
    objects="s3://lake/objects",
    warehouse="s3://lake/warehouse",
    control_url="postgresql+psycopg://me:secret@db/control",
    image="perennial/tasks:1",
    gpu_image="perennial/tasks-gpu:1",
)


def made(task: str = "derive", processes: int = 1, run: str = "r") -> Any:
    return command(
        SERVERS, "flight_delays", step(task), run=run, attempt=1, window=WINDOW, inputs={},
        processes=processes,
    )  # fmt: skip


def manifest(
    task: str = "derive", given: TaskResources | None = None, processes: int = 1, **template: Any
) -> dict[str, Any]:
    wanted = given or TaskResources()
    return job.manifest(made(task, processes), wanted, SERVERS, template, restart=0)


def container(found: dict[str, Any]) -> dict[str, Any]:
    (one,) = found["spec"]["template"]["spec"]["containers"]
    return one


def test_the_command_line_is_that_of_a_laptop() -> None:
    one = container(manifest())
    assert [*one["command"], *one["args"]] == ["python3", *made().argv[1:]]
    assert one["image"] == "perennial/tasks:1"


def test_secrets_stand_in_no_manifest() -> None:
    found = manifest()
    assert "me:secret" not in str(found)
    assert container(found)["envFrom"] == [{"secretRef": {"name": "perennial-environment"}}]


def test_a_name_is_the_tasks_for_all_attempts() -> None:
    first = manifest()
    again = job.manifest(made(), TaskResources(), SERVERS, {}, restart=2)
    assert again["metadata"]["name"] == f"{first['metadata']['name']}-2"
    assert job.key(made()) != job.key(made(run="other"))
    long = job.manifest(made(run="x" * 110 + "."), TaskResources(), SERVERS, {}, restart=0)
    assert len(long["metadata"]["name"]) < 63
    assert len(long["metadata"]["labels"]["perennial/run"]) == 63


def test_what_the_yaml_asks_for() -> None:
    given = TaskResources(
        cpus=0.5, memory_gb=1.5, disk_gb=4, gpus=2, node_selector={"pool": "gpu"},
        tolerations=(Toleration(key="gpu", effect="NoSchedule", operator="Exists"),),
        priority_class="high", service_account="trainer", queue="team", spot=True,
    )  # fmt: skip
    found = manifest("train", given, processes=2)
    spec, one = found["spec"]["template"]["spec"], container(found)
    assert one["resources"] == {
        "requests": {"cpu": "500m", "memory": "1536Mi"},
        "limits": {"memory": "1536Mi", "ephemeral-storage": "4096Mi", "nvidia.com/gpu": "2"},
    }
    assert one["image"] == "perennial/tasks-gpu:1"
    assert found["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "team"
    assert spec["nodeSelector"] == {"pool": "gpu"}
    assert (spec["priorityClassName"], spec["serviceAccountName"]) == ("high", "trainer")
    assert {"key": "gpu", "operator": "Exists", "effect": "NoSchedule"} in spec["tolerations"]
    assert any(t["key"] == "cloud.google.com/gke-spot" for t in spec["tolerations"])
    assert found["spec"]["completions"] == 1


def test_processes_become_pods() -> None:
    found = manifest("train", processes=2)
    assert (found["spec"]["completions"], found["spec"]["parallelism"]) == (2, 2)
    name = found["metadata"]["name"]
    assert container(found)["args"][:6] == [
        "-m", "torch.distributed.run", "--nnodes=2", "--nproc-per-node=1",
        "--node-rank=$(JOB_COMPLETION_INDEX)", f"--master-addr={name}-0.perennial-training",
    ]  # fmt: skip
    assert found["spec"]["template"]["spec"]["subdomain"] == "perennial-training"
    assert "podFailurePolicy" not in found["spec"]
    assert "podFailurePolicy" in manifest()["spec"]


def test_processes_fill_the_gpus_of_their_pods() -> None:
    given = TaskResources(gpus=2)
    assert manifest("train", given, processes=4)["spec"]["completions"] == 2
    with pytest.raises(ConfigError, match=r"training.processes: came 3, wanted a multiple"):
        manifest("train", given, processes=3)


def test_a_template_lies_below() -> None:
    found = manifest(
        metadata={"annotations": {"team": "a"}},
        spec={
            "imagePullSecrets": [{"name": "pull"}],
            "securityContext": {"runAsUser": 0, "supplementalGroups": [7]},
            "volumes": [{"name": "code", "persistentVolumeClaim": {"claimName": "code"}}],
            "tolerations": [{"key": "mine", "operator": "Exists"}],
            "containers": [
                {
                    "name": "task",
                    "image": "other",
                    "env": [{"name": "EXTRA", "value": "1"}],
                    "volumeMounts": [{"name": "code", "mountPath": "/code"}],
                },
                {"name": "sidecar", "image": "proxy"},
            ],
        },
    )
    spec = found["spec"]["template"]["spec"]
    task, sidecar = spec["containers"]
    assert found["spec"]["template"]["metadata"]["annotations"] == {"team": "a"}
    assert spec["imagePullSecrets"] == [{"name": "pull"}]
    assert [v["name"] for v in spec["volumes"]] == ["code", "scratch"]
    assert task["image"] == "perennial/tasks:1"
    assert {"name": "EXTRA", "value": "1"} in task["env"]
    assert [m["mountPath"] for m in task["volumeMounts"]] == ["/code", "/tmp"]  # noqa: S108
    assert sidecar == {"name": "sidecar", "image": "proxy"}
    assert spec["securityContext"]["runAsUser"] == 1000
    assert spec["securityContext"]["supplementalGroups"] == [7]
    assert spec["tolerations"][0] == {"key": "mine", "operator": "Exists"}


@pytest.mark.parametrize("text", [None, "kind: Deployment", "a: [", "[]"])
def test_a_template_that_is_none(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "pod.yaml"
    if text is not None:
        file.write_text(text)
    with pytest.raises(ConfigError, match="PERENNIAL_POD_TEMPLATE"):
        job.template(file)
    assert job.template(None) == {}
