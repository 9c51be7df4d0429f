"""What the launcher may do in a cluster is what it needs, and a task may do nothing."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pytest
import yaml
from ml_launch.cluster.api import Cluster
from ml_launch.cluster.hub import Hub

from ml_tasks.errors import ConfigError
from tests import playground
from tests.k8s.conftest import named
from tests.plugins.cluster.conftest import Field, environment_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kubernetes.client import CoreV1Api
    from ml_launch.cluster.launch import JobLaunch
    from ml_launch.cluster.trigger import JobTrigger

    from ml_tasks.config import Environment
    from tests.k8s.conftest import Manifest

    Right = tuple[str, str, str]

WAIT = "import time; print('begun', flush=True); time.sleep(600)"
HOLDERS = {"launcher": "airflow-scheduler", "waiter": "airflow-triggerer"}


def rights(role: Manifest) -> list[Right]:
    return [
        (group, resource, verb)
        for rule in role["rules"]
        for group in rule["apiGroups"]
        for resource in rule["resources"]
        for verb in rule["verbs"]
    ]


@dataclass
class Place:
    """A namespace with the accounts and roles of the manifests."""

    core: CoreV1Api
    namespace: str
    roles: dict[str, Manifest]
    folder: Path

    def grant(self, role: str, less: Right | None = None) -> None:
        """Give a role's rights but for one, and wait until that is so."""
        from kubernetes.client import AuthorizationV1Api, RbacAuthorizationV1Api

        body = {
            "metadata": {"name": role},
            "rules": [
                {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                for group, resource, verb in rights(self.roles[role])
                if (group, resource, verb) != less
            ],
        }
        client = self.core.api_client
        RbacAuthorizationV1Api(client).replace_namespaced_role(role, self.namespace, body)
        limit = time.monotonic() + 30
        for group, resource, verb in rights(self.roles[role]):
            resource, _, sub = resource.partition("/")
            asked = {
                "user": f"system:serviceaccount:{self.namespace}:{HOLDERS[role]}",
                "resourceAttributes": {
                    "namespace": self.namespace, "group": group, "resource": resource,
                    "subresource": sub, "verb": verb,
                },
            }  # fmt: skip
            wanted = (group, "/".join(filter(None, (resource, sub))), verb) != less
            while (
                AuthorizationV1Api(client)
                .create_subject_access_review({"spec": asked})
                .status.allowed
                != wanted
            ):
                assert time.monotonic() < limit, (group, resource, verb)

    def act_as(self, account: str, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let the launcher find a cluster in which it is that account."""
        asked = self.core.create_namespaced_service_account_token(
            account, self.namespace, {"spec": {"expirationSeconds": 3600}}
        )
        mine = self.core.api_client.configuration
        file = self.folder / account
        file.write_text(yaml.safe_dump({
            "apiVersion": "v1", "kind": "Config", "current-context": "it",
            "clusters": [{"name": "it", "cluster": {
                "server": mine.host, "certificate-authority": mine.ssl_ca_cert}}],
            "users": [{"name": "it", "user": {"token": asked.status.token}}],
            "contexts": [{"name": "it", "context": {"cluster": "it", "user": "it"}}],
        }))  # fmt: skip
        for library in ("kubernetes", "kubernetes_asyncio"):
            for module in ("config", "config.kube_config"):
                where = f"{library}.{module}.KUBE_CONFIG_DEFAULT_LOCATION"
                monkeypatch.setattr(where, str(file))


@pytest.fixture(scope="module")
def place(
    api: CoreV1Api,
    rendered: dict[str, list[Manifest]],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Place]:
    """What the manifests make, in one namespace."""
    with playground.restricted(api) as name:
        api.create_namespaced_secret(name, {"metadata": {"name": "perennial-environment"}})
        roles = _granted(api, name, rendered["local"])
        yield Place(api, name, roles, tmp_path_factory.mktemp("accounts"))


def _granted(api: CoreV1Api, name: str, objects: list[Manifest]) -> dict[str, Manifest]:
    """Make the accounts and roles in a namespace; give the roles."""
    from kubernetes.client import RbacAuthorizationV1Api

    for account in (*HOLDERS.values(), "perennial-task"):
        made = named(objects, "ServiceAccount", account)
        made = made | {"metadata": {"name": account}}
        api.create_namespaced_service_account(name, made)
    rbac = RbacAuthorizationV1Api(api.api_client)
    roles = {role: named(objects, "Role", role) for role in HOLDERS}
    for role, holder in HOLDERS.items():
        rbac.create_namespaced_role(
            name, {"metadata": {"name": role}, "rules": roles[role]["rules"]}
        )
        binding = named(objects, "RoleBinding", role)
        assert [s["name"] for s in binding["subjects"]] == [holder]
        subject = {"kind": "ServiceAccount", "name": holder, "namespace": name}
        rbac.create_namespaced_role_binding(
            name,
            {
                "metadata": {"name": role},
                "roleRef": binding["roleRef"],
                "subjects": [subject],
            },
        )
    return roles


@pytest.fixture
def field(place: Place, tmp_path: Path) -> Iterator[Field]:
    """Where a test launches its tasks; an administrator removes them."""
    from kubernetes import config
    from kubernetes.client import BatchV1Api

    yield Field(environment_in(place.namespace, tmp_path), place.core, [])
    config.load_kube_config(os.environ["KUBECONFIG"])  # noqa: TID251
    BatchV1Api(place.core.api_client).delete_collection_namespaced_job(
        place.namespace, propagation_policy="Background", grace_period_seconds=0
    )


def refused(right: Right) -> str:
    return f'cannot {right[2]} resource "{right[1]}"'


def follow(started: JobLaunch) -> list[str]:
    lines: list[str] = []
    outcome = started.follow(lines.append)
    return [*lines, *outcome.tail]


def running(field: Field, started: JobLaunch) -> str:
    """Wait until its pod is there; give its name."""
    limit = time.monotonic() + 60
    while not (pods := field.pods(started)):
        assert time.monotonic() < limit, "no pod came"
        time.sleep(0.2)
    name: str = pods[0].metadata.name
    return name


def start(field: Field) -> None:
    field.start(field.command("pass"))


def stop(field: Field) -> None:
    field.start(field.command(WAIT)).stop()


def wait(field: Field) -> None:
    follow(field.start(field.command("pass")))


def lose_a_pod(field: Field) -> None:
    started = field.start(field.command(WAIT))
    field.core.delete_namespaced_pod(
        running(field, started), field.namespace, grace_period_seconds=0
    )
    follow(started)


def forget(field: Field) -> None:
    started = field.start(field.command(WAIT))
    Cluster(field.namespace).forget_pod(running(field, started))


BROKEN: dict[Right, Callable[[Field], None]] = {
    ("batch", "jobs", "create"): start,
    ("batch", "jobs", "get"): lose_a_pod,
    ("batch", "jobs", "list"): start,
    ("batch", "jobs", "delete"): stop,
    ("", "pods", "list"): start,
    ("", "pods", "watch"): wait,
    ("", "pods", "delete"): forget,
}
"""Rights of the launcher, and what does not go without them."""
POORER: dict[Right, str] = {
    ("", "pods/log", "get"): "print('said')",
    ("", "events", "list"): "raise SystemExit(65)",
}
"""Rights without which a task still runs to its end, and less is known of it."""


def test_the_launcher_has_each_right_for_a_reason(place: Place) -> None:
    assert sorted(rights(place.roles["launcher"])) == sorted({**BROKEN, **POORER})


def test_with_all_its_rights_nothing_is_missing(
    place: Place, field: Field, monkeypatch: pytest.MonkeyPatch
) -> None:
    place.grant("launcher")
    place.act_as("airflow-scheduler", monkeypatch)
    lines = follow(field.start(field.command("print('said'); raise SystemExit(65)")))
    assert "said" in lines
    assert any("SuccessfulCreate" in line for line in lines)
    for act in (stop, wait, forget, lose_a_pod_and_stop):
        act(field)


def lose_a_pod_and_stop(field: Field) -> None:
    started = field.start(field.command("import time; time.sleep(5)"))
    field.core.delete_namespaced_pod(
        running(field, started), field.namespace, grace_period_seconds=0
    )
    assert started.follow(print).exit_code == 0


@pytest.mark.parametrize("right", BROKEN, ids="-".join)
def test_without_a_right_it_says_which(
    place: Place, field: Field, monkeypatch: pytest.MonkeyPatch, right: Right
) -> None:
    place.grant("launcher", less=right)
    place.act_as("airflow-scheduler", monkeypatch)
    with pytest.raises(ConfigError, match=refused(right)) as told:
        BROKEN[right](field)
    assert "k8s/base/tasks/launcher.yaml" in str(told.value)


@pytest.mark.parametrize("right", POORER, ids="-".join)
def test_without_a_right_it_says_what_is_not_shown(
    place: Place, field: Field, monkeypatch: pytest.MonkeyPatch, right: Right
) -> None:
    place.grant("launcher", less=right)
    place.act_as("airflow-scheduler", monkeypatch)
    lines = follow(field.start(field.command(POORER[right])))
    assert any(refused(right) in line for line in lines)
    assert "said" not in lines


def trigger(field: Field, script: str) -> JobTrigger:
    """Give what waits for a task that is on its way: an administrator started it."""
    made = field.start(field.command(script)).trigger(time.time() + 120)
    assert made is not None
    return made


async def fire(waiting: JobTrigger) -> None:
    async for _event in waiting.run():
        return


async def forget_in_hub(field: Field, pod: str) -> None:
    async with Hub.of(field.namespace) as hub:
        await hub.forget_pod(pod)


WAITING: tuple[Right, ...] = (
    ("batch", "jobs", "list"),
    ("batch", "jobs", "delete"),
    ("", "pods", "list"),
    ("", "pods", "watch"),
    ("", "pods", "delete"),
)
SHOWING: Right = ("", "pods/log", "get")
EXPLAINING: Right = ("", "events", "list")


def test_the_triggerer_has_each_right_for_a_reason(place: Place) -> None:
    assert sorted(rights(place.roles["waiter"])) == sorted({*WAITING, SHOWING, EXPLAINING})


@pytest.mark.parametrize("right", WAITING, ids="-".join)
def test_without_a_right_the_triggerer_says_which(
    place: Place, field: Field, monkeypatch: pytest.MonkeyPatch, right: Right
) -> None:
    waiting = trigger(field, WAIT)
    pod = running(field, field.started[0])
    place.grant("waiter", less=right)
    place.act_as("airflow-triggerer", monkeypatch)
    act = {
        ("batch", "jobs", "delete"): waiting.on_kill,
        ("", "pods", "delete"): lambda: forget_in_hub(field, pod),
    }.get(right, lambda: fire(waiting))
    with pytest.raises(ConfigError, match=refused(right)):
        asyncio.run(asyncio.wait_for(act(), 60))


def test_without_a_right_the_triggerer_says_what_is_not_shown(
    place: Place, field: Field, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waiting = trigger(field, "print('said')")
    place.grant("waiter", less=SHOWING)
    place.act_as("airflow-triggerer", monkeypatch)
    with caplog.at_level(logging.INFO, "ml_launch"):
        asyncio.run(asyncio.wait_for(fire(waiting), 120))
    assert any(refused(SHOWING) in record.getMessage() for record in caplog.records)


def test_without_a_right_the_triggerer_says_that_it_cannot_explain(
    place: Place, field: Field, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    quota = {"metadata": {"name": "none"}, "spec": {"hard": {"requests.cpu": "1m"}}}
    place.core.create_namespaced_resource_quota(place.namespace, quota)
    try:
        # Longer than it takes to look at Jobs twice.
        waiting = field.start(field.command("pass")).trigger(time.time() + 22)
        assert waiting is not None
        place.grant("waiter", less=EXPLAINING)
        place.act_as("airflow-triggerer", monkeypatch)
        with caplog.at_level(logging.INFO, "ml_launch"):
            asyncio.run(asyncio.wait_for(fire(waiting), 60))
    finally:
        place.core.delete_namespaced_resource_quota("none", place.namespace)
    (told,) = [r.getMessage() for r in caplog.records if refused(EXPLAINING) in r.getMessage()]
    assert "why Jobs of" in told


def test_with_all_its_rights_the_triggerer_waits_and_kills(
    place: Place, field: Field, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    waiting, killed = trigger(field, "print('said')"), trigger(field, WAIT)
    place.grant("waiter")
    place.act_as("airflow-triggerer", monkeypatch)
    with caplog.at_level(logging.INFO, "ml_launch"):
        asyncio.run(asyncio.wait_for(fire(waiting), 120))
        asyncio.run(killed.on_kill())
    assert "said" in [record.getMessage() for record in caplog.records]
    assert not [r for r in caplog.records if r.levelno > logging.INFO]


ASK = """
import json, os, ssl, urllib.error, urllib.request
where = "/var/run/secrets/kubernetes.io/serviceaccount"
print("token", os.path.exists(where + "/token"))
forced = "/forced/token"
word = open(forced).read() if os.path.exists(forced) else ""
told = ssl.create_default_context(cafile="/forced/ca.crt" if word else None)
for method, path in json.loads(os.environ["ASKED"]):
    body = b"{}" if method == "POST" else None
    address = "https://kubernetes.default.svc" + path
    asked = urllib.request.Request(address, method=method, data=body)
    asked.add_header("Content-Type", "application/json")
    if word:
        asked.add_header("Authorization", "Bearer " + word)
    try:
        status = urllib.request.urlopen(asked, context=told).status
    except urllib.error.HTTPError as fault:
        status = fault.code
    print(method, path, status)
"""


def test_a_tasks_pod_has_no_token_and_with_one_it_may_do_nothing(
    place: Place, field: Field, tmp_path: Path
) -> None:
    lines = follow(field.start(field.command("import os, json; os.environ['ASKED'] = '[]'" + ASK)))
    # What a busy cluster lets a pod wait for is said before.
    assert lines[-1:] == ["token False"]

    here, core = f"/namespaces/{place.namespace}", "/api/v1"
    asked = [
        *(("GET", f"{core}{here}/{kind}") for kind in
          ("pods", "secrets", "configmaps", "services", "events", "serviceaccounts")),
        *(("GET", f"{core}/{kind}") for kind in ("nodes", "namespaces", "secrets")),
        ("GET", f"{core}{here}/secrets/perennial-environment"),
        ("GET", f"/apis/batch/v1{here}/jobs"),
        ("GET", f"/apis/rbac.authorization.k8s.io/v1{here}/roles"),
        ("POST", f"{core}{here}/pods"),
        ("POST", f"{core}{here}/serviceaccounts/perennial-task/token"),
        ("POST", f"/apis/batch/v1{here}/jobs"),
        ("DELETE", f"/apis/batch/v1{here}/jobs"),
    ]  # fmt: skip
    file = tmp_path / "pod.yaml"
    file.write_text(yaml.safe_dump(forced(asked)))
    field.environment = replace_template(field.environment, file)
    lines = follow(field.start(field.command(ASK)))
    wanted = ["token False", *(f"{method} {path} 403" for method, path in asked)]
    assert lines[-len(wanted) :] == wanted


def replace_template(environment: Environment, file: Path) -> Environment:
    return environment.model_copy(update={"pod_template": file})


def forced(asked: list[tuple[str, str]]) -> dict[str, Any]:
    """Make a pod's template that gives a task the token which it does not get of itself."""
    import json

    sources = [
        {"serviceAccountToken": {"path": "token"}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
    ]
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "spec": {
            "serviceAccountName": "perennial-task",
            "volumes": [{"name": "forced", "projected": {"sources": sources}}],
            "containers": [
                {
                    "name": "task",
                    "env": [{"name": "ASKED", "value": json.dumps(asked)}],
                    "volumeMounts": [{"name": "forced", "mountPath": "/forced"}],
                }
            ],
        },
    }
