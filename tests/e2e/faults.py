"""What can break beneath a task in a pod: its processes, its limits, its node, the cluster's API.

Pods are struck from within, by a process that is started in them as `kubectl exec` does: it stops
or kills the task's own, or uses memory or disk up until the cluster itself steps in. Nodes and the
API are somebody else's processes: whoever runs the tests says by variables how they are ended and
brought back. A command is given to a shell; of a node it finds the name in `NODE`.
"""

from __future__ import annotations

import os
import subprocess
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

    from kubernetes.client import CoreV1Api

COMMANDS = {
    "NODE_DOWN": "ends a node with all that runs on it",
    "NODE_SILENT": "ends what answers for a node; its pods run on",
    "NODE_UP": "brings a node back",
    "API_DOWN": "takes the API away",
    "API_UP": "brings the API back",
}
"""`PERENNIAL_TEST_…`, and what the command does."""
AWAY_SECONDS = 20
READY_SECONDS = 180
NOT_FOUND = 404
PIECE = 1 << 24
OWN = """
import os, signal
def group(pid):
    try:
        return open(f"/proc/{pid}/cgroup").read()
    except OSError:
        return ""
own = group("self")
others = [int(p) for p in os.listdir("/proc") if p.isdigit() and group(p) == own]
others.remove(os.getpid())
"""
"""Names the processes of the task's container; those of others may share its process numbers."""
NAP = """
[os.kill(pid, signal.SIGSTOP) for pid in others]
if os.fork() == 0:
    import time
    [os.close(number) for number in range(3)]
    time.sleep({})
    [os.kill(pid, signal.SIGCONT) for pid in others]
    os._exit(0)
"""
"""Wakes them up again also where nobody reaches the container any more."""
SEND = "[os.kill(pid, signal.{}) for pid in others]"
# What no process has mapped counts for the container alone: the kernel then ends the task.
MEMORY = f"import os\nf = os.memfd_create('fault')\nwhile True: os.write(f, bytes({PIECE}))"
DISK = f"f = open('/tmp/fault', 'wb')\nfor _ in range({{}}): f.write(bytes({PIECE}))"


def command(name: str) -> str:
    """Give the command of that name; empty where none was given."""
    return os.environ.get(f"PERENNIAL_TEST_{name}", "")  # noqa: TID251


class GoneError(Exception):
    """What was to be broken is over."""


class Faults:
    """Breaks things in one namespace, and mends them again."""

    def __init__(self, core: CoreV1Api, namespace: str) -> None:
        self.core, self.namespace = core, namespace
        self.down: set[str] = set()
        self.done: set[str] = set()
        """Names of the commands that were run."""

    def pods(self, task: str) -> list[Any]:
        """Give the pods of a task."""
        found: list[Any] = self.core.list_namespaced_pod(
            self.namespace, label_selector=f"perennial/task={task}"
        ).items
        return found

    def kill(self, pod: Any) -> None:
        """Kill the task's processes."""
        self.inside(pod, OWN + SEND.format("SIGKILL"))

    def stop(self, pod: Any) -> None:
        """Let the task's processes stand still."""
        self.inside(pod, OWN + SEND.format("SIGSTOP"))

    def stop_for(self, pod: Any, seconds: float) -> None:
        """Let them stand still for a while."""
        self.inside(pod, OWN + NAP.format(seconds))

    def use_memory(self, pod: Any) -> None:
        """Let the task stand still, and use memory up until the kernel ends it."""
        self.stop(pod)
        self.inside(pod, MEMORY)

    def use_disk(self, pod: Any) -> None:
        """Let the task stand still, and write more beside it than it was given."""
        from kubernetes.utils.quantity import parse_quantity

        (task,) = pod.spec.containers
        given = int(parse_quantity(task.resources.limits["ephemeral-storage"]))
        self.stop(pod)
        self.inside(pod, DISK.format(given // PIECE + 1))

    def evict(self, pod: Any) -> None:
        name = pod.metadata.name
        self._away(
            lambda: self.core.create_namespaced_pod_eviction(
                name, self.namespace, {"metadata": {"name": name}}
            )
        )

    def delete(self, pod: Any) -> None:
        self._away(lambda: self.core.delete_namespaced_pod(pod.metadata.name, self.namespace))

    def drain(self, pod: Any) -> None:
        """Let nothing more onto a pod's node, and evict the pod."""
        self.core.patch_node(pod.spec.node_name, {"spec": {"unschedulable": True}})
        self.evict(pod)

    def end_node(self, pod: Any, how: str = "NODE_DOWN") -> None:
        """End a pod's node, for good."""
        self.down.add(pod.spec.node_name)
        self._run(how, pod.spec.node_name)

    def take_api_away(self) -> None:
        """Let the cluster's API be away for a while."""
        self._run("API_DOWN")
        try:
            time.sleep(AWAY_SECONDS)
        finally:
            self._run("API_UP")

    def mend(self) -> None:
        """Bring all nodes back, and wait until they are ready."""
        for node in self.down:
            self._run("NODE_UP", node)
        self.down.clear()
        limit = time.monotonic() + READY_SECONDS
        while not all(_ready(node) for node in self.core.list_node().items):
            assert time.monotonic() < limit, "the nodes do not come back"
            time.sleep(1)
        self.uncordon()

    def uncordon(self) -> None:
        """Let new pods onto all nodes."""
        for node in self.core.list_node().items:
            if node.spec.unschedulable:
                self.core.patch_node(node.metadata.name, {"spec": {"unschedulable": False}})

    def _away(self, ask: Callable[[], object]) -> None:
        from kubernetes.client import ApiException

        try:
            ask()
        except ApiException as fault:
            if fault.status != NOT_FOUND:
                raise
            raise GoneError(str(fault.reason)) from fault

    def inside(self, pod: Any, script: str) -> None:
        """Run a script in the task's container; it may be the end of both.

        Raises:
            GoneError: The container has ended already.
        """
        from kubernetes.client import ApiClient, ApiException, CoreV1Api
        from kubernetes.stream import stream

        # What opens such a connection changes the client that it is given.
        own = CoreV1Api(ApiClient())
        try:
            running = stream(
                own.connect_get_namespaced_pod_exec, pod.metadata.name, self.namespace,
                container="task", command=["python3", "-c", script],
                stdin=False, stdout=True, stderr=True, tty=False, _preload_content=False,
            )  # fmt: skip
        # Where the answer has no body the client fails at that, and not with its status.
        except (ApiException, AttributeError) as fault:
            raise GoneError(f"{pod.metadata.name}: {fault}") from fault
        running.run_forever()

    def _run(self, name: str, node: str = "") -> None:
        env = {**os.environ, "NODE": node}  # noqa: TID251
        done = subprocess.run(  # noqa: S602 - what whoever runs the tests has written
            command(name), shell=True, env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, f"PERENNIAL_TEST_{name}: {done.stdout}{done.stderr}"
        self.done.add(name)


def _ready(node: Any) -> bool:
    return any(c.type == "Ready" and c.status == "True" for c in node.status.conditions)
