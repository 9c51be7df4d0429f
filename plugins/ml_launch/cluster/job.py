"""A task as a Kubernetes Job: values in, manifest out."""

from __future__ import annotations

import hashlib
import math
from typing import TYPE_CHECKING, Any

import yaml

from ml_launch.cluster.state import CONTAINER
from ml_launch.variables import for_tasks
from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ml_launch.command import Command
    from ml_tasks.config import Environment, TaskResources

Manifest = dict[str, Any]
OWNER = "app.kubernetes.io/managed-by"
OWN = {OWNER: "perennial"}
KEY, ATTEMPT, RESTART = "perennial/key", "perennial/attempt", "perennial/restart"
QUEUED = "perennial/queued"
"""Annotation: how many seconds the task waited in a queue before it was begun again."""
QUEUE = "kueue.x-k8s.io/queue-name"
SUBDOMAIN = "perennial-training"
"""The headless service by which the pods of one training find each other."""
PORT = 29500
GRACE_SECONDS = 30
"""From SIGTERM to SIGKILL: long enough to write a checkpoint."""
LOST_SECONDS = 30
"""How long a pod may stay on a node that does not answer."""
KEPT_SECONDS = 86_400
"""How long a Job that nobody read stays."""
LABEL = 63
HOME = "/tmp/perennial"  # noqa: S108 - a volume of the pod's own
_NODE_GONE = [
    {
        "key": f"node.kubernetes.io/{what}",
        "operator": "Exists",
        "effect": "NoExecute",
        "tolerationSeconds": LOST_SECONDS,
    }
    for what in ("not-ready", "unreachable")
]
_SPOT = [
    {"key": key, "operator": "Exists", "effect": "NoSchedule"}
    for key in ("cloud.google.com/gke-spot", "kubernetes.azure.com/scalesetpriority", "spot")
]
_NAMED = {"volumeMounts": "mountPath"}
"""Lists of a manifest whose items are known by something else than their name."""


def key(command: Command, task: str = "") -> str:
    """Give what all attempts of one task of one run have in common.

    Args:
        command: The task.
        task: Another one of its run, whose key is wanted.
    """
    said = f"{command.pipeline}/{command.run}/{task or command.task}"
    return hashlib.sha256(said.encode()).hexdigest()[:16]


def argv(made: Manifest) -> list[str]:
    """Give what follows `python` in a Job's pods."""
    containers = made["spec"]["template"]["spec"]["containers"]
    return [word for one in containers if one["name"] == CONTAINER for word in one.get("args", ())]


def restart(made: Manifest) -> int:
    """Give how often the task was begun before a Job, or before a pod's."""
    return int(made["metadata"]["labels"][RESTART])


def pods_with(job: str) -> str:
    """Give the selector of a Job's pods."""
    return f"batch.kubernetes.io/job-name={job}"


def owned(label: str, *values: str) -> str:
    """Give the selector of what is ours and has a label with one of some values."""
    return f"{OWNER}=perennial,{label} in ({','.join(values)})"


def pods_of(command: Command, resources: TaskResources) -> int:
    """Give how many pods a task is spread over: its processes, one for each GPU of a pod.

    Raises:
        ConfigError: The processes do not fill whole pods.
    """
    processes, each = command.processes or 1, max(1, resources.gpus)
    if command.processes is None:
        return 1
    if processes % each:
        raise ConfigError(
            f"training.processes: came {processes}, wanted a multiple of "
            f"resources.{command.task}.gpus, which is {each}: each GPU of a pod has one process"
        )
    return processes // each


def manifest(
    command: Command,
    resources: TaskResources,
    environment: Environment,
    template: Mapping[str, Any],
    restart: int,
    queued: float = 0.0,
) -> Manifest:
    """Make the Job of a task.

    Args:
        command: The task; its command line is the same as on a laptop.
        resources: What it is given.
        environment: Says what the pods are told, and which image they run.
        template: A pod to which ours is added: volumes, annotations, a sidecar.
        restart: How often the task was started before.
        queued: How many seconds it waited in a queue then.
    """
    pods, own = pods_of(command, resources), key(command)
    name = f"{command.task}-{own}" + (f"-{restart}" if restart else "")
    labels = _labels(command) | {KEY: own, ATTEMPT: str(command.attempt), RESTART: str(restart)}
    spec: Manifest = {
        "completionMode": "Indexed",
        "completions": pods,
        "parallelism": pods,
        "backoffLimit": 0,
        "ttlSecondsAfterFinished": KEPT_SECONDS,
        "template": merged(template, _pod(name, command, resources, environment, pods, labels)),
    }
    if pods == 1:
        # What the cluster takes away it gives again, also while nobody of ours looks on. The pods
        # of one training can only begin again together: the launcher sees to that.
        spec["podFailurePolicy"] = {
            "rules": [
                {
                    "action": "Ignore",
                    "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}],
                }
            ]
        }
    queue = {QUEUE: resources.queue} if resources.queue else {}
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {
            "name": name,
            "labels": labels | queue,
            "annotations": {QUEUED: f"{queued:.0f}"},
        },
        "spec": spec,
    }


def template(path: Path | None) -> Mapping[str, Any]:
    """Read the pod template.

    Raises:
        ConfigError: There is none at the path, or it is no pod.
    """
    if path is None:
        return {}
    try:
        found = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as fault:
        raise ConfigError(f"PERENNIAL_POD_TEMPLATE: {path} cannot be read: {fault}") from fault
    if not isinstance(found, dict) or found.get("kind") != "Pod":
        raise ConfigError(f"PERENNIAL_POD_TEMPLATE: {path} holds no manifest of kind Pod")
    return {part: found[part] for part in ("metadata", "spec") if part in found}


def merged(below: Any, above: Any) -> Any:
    """Lay one manifest over another: mappings by key, lists by the names of their items."""
    if isinstance(below, dict) and isinstance(above, dict):
        return {
            part: _merged_list(part, below[part], above[part])
            if isinstance(below.get(part), list) and isinstance(above.get(part), list)
            else merged(below[part], above[part])
            if part in below and part in above
            else above.get(part, below.get(part))
            for part in {**below, **above}
        }
    return above


def _merged_list(part: str, below: list[Any], above: list[Any]) -> list[Any]:
    known = _NAMED.get(part, "name")
    if not all(isinstance(item, dict) and known in item for item in [*below, *above]):
        return [*below, *(item for item in above if item not in below)]
    items = {item[known]: item for item in below}
    for item in above:
        items[item[known]] = merged(items.get(item[known], {}), item)
    return list(items.values())


def _labels(command: Command) -> dict[str, str]:
    told = {"pipeline": command.pipeline, "task": command.task, "run": command.run}
    return OWN | {f"perennial/{name}": value[:LABEL].strip("-_.") for name, value in told.items()}


def _pod(
    name: str,
    command: Command,
    resources: TaskResources,
    environment: Environment,
    pods: int,
    labels: Mapping[str, str],
) -> Manifest:
    spec: Manifest = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "enableServiceLinks": False,
        # The task is not the first process of its container: SIGTERM would be lost on that one.
        "shareProcessNamespace": True,
        "terminationGracePeriodSeconds": GRACE_SECONDS,
        "securityContext": {
            "runAsNonRoot": True,
            "runAsUser": 1000,
            "runAsGroup": 1000,
            "fsGroup": 1000,
            "seccompProfile": {"type": "RuntimeDefault"},
        },
        "tolerations": [
            *_NODE_GONE,
            *(_SPOT if resources.spot else ()),
            *(t.model_dump(by_alias=True, exclude_none=True) for t in resources.tolerations),
        ],
        "volumes": [{"name": "scratch", "emptyDir": {}}],
        "containers": [_container(name, command, resources, environment, pods)],
    }
    optional: Manifest = {
        "serviceAccountName": resources.service_account,
        "priorityClassName": resources.priority_class,
        "nodeSelector": dict(resources.node_selector),
    }
    spec |= {part: value for part, value in optional.items() if value}
    if pods > 1:
        spec["subdomain"] = SUBDOMAIN
        spec["topologySpreadConstraints"] = [
            {
                "maxSkew": 1,
                "topologyKey": "kubernetes.io/hostname",
                "whenUnsatisfiable": "ScheduleAnyway",
                "labelSelector": {"matchLabels": {KEY: labels[KEY]}},
            }
        ]
        labels = {**labels, "perennial/distributed": "true"}
    return {"metadata": {"labels": dict(labels)}, "spec": spec}


def _container(
    name: str,
    command: Command,
    resources: TaskResources,
    environment: Environment,
    pods: int,
) -> Manifest:
    variables = for_tasks(resources) | environment.plain_variables() | {"PERENNIAL_HOME": HOME}
    image = environment.gpu_image if resources.gpus and environment.gpu_image else environment.image
    return {
        "name": CONTAINER,
        "image": image,
        "command": ["python3"],
        "args": command.in_pod(pods, f"{name}-0.{SUBDOMAIN}", PORT),
        "workingDir": "/tmp",  # noqa: S108
        "env": [{"name": n, "value": v} for n, v in sorted(variables.items()) if n not in _HERE],
        "envFrom": [{"secretRef": {"name": environment.secret}}],
        "resources": _resources(resources),
        "securityContext": {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        },
        "terminationMessagePolicy": "FallbackToLogsOnError",
        "volumeMounts": [{"name": "scratch", "mountPath": "/tmp"}],  # noqa: S108
    }


_HERE = tuple(
    f"PERENNIAL_{what}" for what in ("WARM_SOCKET", "PIPELINES", "POD_TEMPLATE", "PRICES")
)
"""What is true of the launcher's machine alone."""


def _resources(resources: TaskResources) -> Manifest:
    memory = f"{math.ceil(resources.memory_gb * 1024)}Mi"
    limits: Manifest = {"memory": memory}
    if resources.disk_gb is not None:
        limits["ephemeral-storage"] = f"{math.ceil(resources.disk_gb * 1024)}Mi"
    if resources.gpus:
        limits["nvidia.com/gpu"] = str(resources.gpus)
    return {
        "requests": {"cpu": f"{math.ceil(resources.cpus * 1000)}m", "memory": memory},
        "limits": limits,
    }
