"""What holds for the manifests wherever they are applied."""

from __future__ import annotations

import base64
import re
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import kubernetes_validate
import pytest
import yaml
from ml_launch.cluster.job import SUBDOMAIN

from ml_tasks.config import ROOT, Environment
from ml_tasks.config.environment import SECRET
from tests.k8s.conftest import (
    FOREIGN,
    OVERLAYS,
    PLATFORM,
    S3,
    TASKS,
    WORKLOADS,
    containers,
    copied,
    named,
    of,
)

if TYPE_CHECKING:
    from pathlib import Path

    from tests.k8s.conftest import Copy, Manifest

VERSION = "1.34"
KUBERNETES = ("airflow-scheduler", "airflow-triggerer")
"""Who speaks to the API."""


def selected(selector: Manifest, labels: dict[str, str]) -> bool:
    return all(labels.get(k) == v for k, v in selector.get("matchLabels", selector).items())


def labels(workload: Manifest) -> dict[str, str]:
    found: dict[str, str] = workload["spec"]["template"]["metadata"]["labels"]
    return found


def test_each_object_fits_the_schema_of_its_kind(overlay: list[Manifest]) -> None:
    unknown = set()
    for one in overlay:
        try:
            kubernetes_validate.validate(one, VERSION, strict=True)
        except kubernetes_validate.SchemaNotFoundError:
            unknown.add(one["kind"])
    assert unknown <= FOREIGN.keys()


def test_containers_may_do_nothing_and_say_what_they_take(overlay: list[Manifest]) -> None:
    for workload in of(overlay, *WORKLOADS):
        pod = workload["spec"]["template"]["spec"]
        assert pod["securityContext"]["runAsNonRoot"]
        assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
        for container in containers(workload):
            assert container["securityContext"] == {
                "allowPrivilegeEscalation": False,
                "readOnlyRootFilesystem": True,
                "capabilities": {"drop": ["ALL"]},
            }
            assert container["resources"]["requests"].keys() == {
                "cpu", "memory", "ephemeral-storage",
            }  # fmt: skip
            assert container["resources"]["limits"].keys() == {"memory", "ephemeral-storage"}


def test_each_container_that_works_is_watched(overlay: list[Manifest]) -> None:
    for workload in of(overlay, *WORKLOADS):
        for container in workload["spec"]["template"]["spec"]["containers"]:
            assert "livenessProbe" in container or container["name"] == "old-logs"


def test_one_container_of_two_programs_has_a_token(overlay: list[Manifest]) -> None:
    for account in of(overlay, "ServiceAccount"):
        assert account["automountServiceAccountToken"] is False
    holders = set()
    for workload in of(overlay, *WORKLOADS):
        pod = workload["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
        tokens = {v["name"] for v in pod["volumes"] if "projected" in v}
        for container in containers(workload):
            mounted = {mount["name"] for mount in container.get("volumeMounts", ())}
            if tokens & mounted:
                holders.add((workload["metadata"]["name"], container["name"]))
    assert holders == {(f"airflow-{one}", one) for one in ("scheduler", "triggerer")}


@pytest.mark.parametrize("namespace", [PLATFORM, TASKS])
def test_a_namespace_is_closed_and_limited(overlay: list[Manifest], namespace: str) -> None:
    told = named(overlay, "Namespace", namespace)["metadata"]["labels"]
    assert told["pod-security.kubernetes.io/enforce"] == "restricted"
    for kind in ("ResourceQuota", "LimitRange"):
        assert len(of(overlay, kind, namespace=namespace)) == 1
    closed = [
        policy["spec"]
        for policy in of(overlay, "NetworkPolicy", namespace=namespace)
        if policy["metadata"]["name"] == "nothing"
    ]
    assert closed == [{"podSelector": {}, "policyTypes": ["Ingress", "Egress"]}]


def test_no_policy_lets_a_machines_metadata_be_read(overlay: list[Manifest]) -> None:
    for policy in of(overlay, "NetworkPolicy"):
        for rule in policy["spec"].get("egress", ()):
            for to in rule["to"]:
                block = to.get("ipBlock")
                assert block is None or "169.254.0.0/16" in block["except"]


def test_policies_services_and_budgets_name_what_is_there(overlay: list[Manifest]) -> None:
    pods = [labels(one) for one in of(overlay, *WORKLOADS)]
    for budget in of(overlay, "PodDisruptionBudget"):
        assert sum(selected(budget["spec"]["selector"], one) for one in pods) == 1
    for service in of(overlay, "Service", namespace=PLATFORM):
        assert sum(selected(service["spec"]["selector"], one) for one in pods) == 1
    for policy in of(overlay, "NetworkPolicy", namespace=PLATFORM):
        assert any(selected(policy["spec"]["podSelector"], one) for one in pods)


def test_what_may_have_replicas_is_spread_and_drained_one_by_one(overlay: list[Manifest]) -> None:
    budgets = of(overlay, "PodDisruptionBudget")
    for workload in of(overlay, *WORKLOADS):
        if workload["metadata"]["name"] in ("postgres", "redis"):
            continue
        spread = workload["spec"]["template"]["spec"]["topologySpreadConstraints"]
        assert all(selected(one["labelSelector"], labels(workload)) for one in spread)
        (budget,) = (b for b in budgets if selected(b["spec"]["selector"], labels(workload)))
        assert budget["spec"]["maxUnavailable"] == 1


def test_secrets_are_named_and_given(rendered: dict[str, list[Manifest]]) -> None:
    for overlay, objects in rendered.items():
        wanted = {(TASKS, Environment.model_fields["secret"].default)}
        for workload in of(objects, *WORKLOADS):
            wanted |= {(PLATFORM, name) for name in secrets_of(workload)}
        kind = "Secret" if overlay == "local" else "ExternalSecret"
        given = {(o["metadata"]["namespace"], o["metadata"]["name"]) for o in of(objects, kind)}
        assert given == wanted
        assert overlay == "local" or not of(objects, "Secret")


def secrets_of(workload: Manifest) -> set[str]:
    found = {
        source["secretRef"]["name"]
        for container in containers(workload)
        for source in container.get("envFrom", ())
        if "secretRef" in source
    }
    found |= {
        variable["valueFrom"]["secretKeyRef"]["name"]
        for container in containers(workload)
        for variable in container.get("env", ())
        if "secretKeyRef" in variable.get("valueFrom", {})
    }
    volumes = workload["spec"]["template"]["spec"]["volumes"]
    return found | {v["secret"]["secretName"] for v in volumes if "secret" in v}


def told(objects: list[Manifest], workload: str) -> dict[str, str]:
    """Give the variables of a workload's first container."""
    (found,) = (o for o in of(objects, *WORKLOADS) if o["metadata"]["name"] == workload)
    variables: dict[str, str] = {}
    for source in found["spec"]["template"]["spec"]["containers"][0]["envFrom"]:
        if "configMapRef" in source:
            variables |= named(objects, "ConfigMap", source["configMapRef"]["name"])["data"]
        else:
            variables |= decoded(named(objects, "Secret", source["secretRef"]["name"]))
    return variables


def decoded(secret: Manifest) -> dict[str, str]:
    return {name: base64.b64decode(value).decode() for name, value in secret["data"].items()}


def test_watchers_in_the_triggerer_reach_the_ledger(rendered: dict[str, list[Manifest]]) -> None:
    name = "PERENNIAL_CONTROL_URL"
    one, other = (told(rendered["local"], f"airflow-{w}") for w in ("scheduler", "triggerer"))
    assert one[name] == other[name]


def test_scheduler_and_tasks_are_told_the_same_places(
    rendered: dict[str, list[Manifest]], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in told(rendered["local"], "airflow-scheduler").items():
        monkeypatch.setenv(name, value)
    launcher = Environment()
    assert (launcher.launcher, launcher.profile) == ("kubernetes", "servers")
    assert launcher.namespace == TASKS
    assert launcher.mlflow_url == f"http://mlflow.{PLATFORM}:5000"
    assert launcher.s3_endpoint == S3["AWS_ENDPOINT_URL"]
    pods = decoded(named(rendered["local"], "Secret", launcher.secret))
    task = Environment.model_validate(
        {**launcher.plain_variables(), **{n.removeprefix("PERENNIAL_").lower(): v
         for n, v in pods.items() if n.startswith("PERENNIAL_")}}
    )  # fmt: skip
    assert task.control == launcher.control
    for address in (task.catalog, task.feast, task.redis, task.control):
        assert f".{PLATFORM}" in address
    assert {f"PERENNIAL_{field.upper()}" for field in SECRET[:4]} <= pods.keys()
    assert "PERENNIAL_CATALOG_URL" not in told(rendered["local"], "airflow-scheduler")


def test_pods_of_tasks_run_the_image_that_is_named_once(overlay: list[Manifest]) -> None:
    (settings,) = (
        o["data"] for o in of(overlay, "ConfigMap") if "PERENNIAL_PROFILE" in o["data"]
    )  # fmt: skip
    pod = named(overlay, "Deployment", "mlflow")["spec"]["template"]["spec"]
    assert settings["PERENNIAL_IMAGE"] == pod["containers"][0]["image"]
    assert re.search(r":\d", settings["PERENNIAL_IMAGE"])


def test_what_the_launcher_counts_on_is_in_its_namespace(overlay: list[Manifest]) -> None:
    service = named(overlay, "Service", SUBDOMAIN)
    assert service["metadata"]["namespace"] == TASKS
    assert service["spec"]["clusterIP"] == "None"
    assert service["spec"]["selector"] == {"perennial/distributed": "true"}
    template = next(
        yaml.safe_load(o["data"]["pod.yaml"])
        for o in of(overlay, "ConfigMap")
        if "pod.yaml" in o["data"]
    )
    account = named(overlay, "ServiceAccount", template["spec"]["serviceAccountName"])
    assert account["metadata"]["namespace"] == TASKS
    for binding in of(overlay, "RoleBinding"):
        assert account["metadata"]["name"] not in {s["name"] for s in binding["subjects"]}


def test_a_queue_covers_all_that_a_namespace_asks_for_its_pods(
    rendered: dict[str, list[Manifest]],
) -> None:
    found = {
        one["kind"]: one for one in rendered["gpu"] if one["kind"] in ("ClusterQueue", "LimitRange")
    }
    (group,) = found["ClusterQueue"]["spec"]["resourceGroups"]
    (limit,) = found["LimitRange"]["spec"]["limits"]
    covered = set(group["coveredResources"])
    assert {*limit["defaultRequest"], *limit["default"], "nvidia.com/gpu"} <= covered
    assert covered == {one["name"] for one in group["flavors"][0]["resources"]}


def test_who_starts_tasks_may_ask_kubelets_where_somebody_wants_that(tmp_path: Path) -> None:
    made = copied(tmp_path / "k8s")
    folder = made.folder / "overlays" / "measured"
    folder.mkdir()
    told = {"resources": ["../../base"], "components": ["../../components/usage"]}
    (folder / "kustomization.yaml").write_text(yaml.safe_dump(told))
    found = made.objects("measured")
    role = named(found, "ClusterRole", "perennial-usage")
    kubernetes_validate.validate(role, VERSION, strict=True)
    assert role["rules"] == [{"apiGroups": [""], "resources": ["nodes/proxy"], "verbs": ["get"]}]
    subjects = named(found, "ClusterRoleBinding", "perennial-usage")["subjects"]
    assert [one["name"] for one in subjects] == ["airflow-scheduler", "airflow-triggerer"]
    for subject in subjects:
        account = named(found, "ServiceAccount", subject["name"])
        assert account["metadata"]["namespace"] == subject["namespace"] == PLATFORM


def test_no_overlay_gives_a_right_beyond_the_namespace_of_tasks(
    copy: Copy, overlay: list[Manifest]
) -> None:
    assert {one["metadata"]["namespace"] for one in of(overlay, "Role", "RoleBinding")} == {TASKS}
    assert not of(overlay, "ClusterRole", "ClusterRoleBinding")
    more = copy.folder / "overlays" / "usage"
    more.mkdir(exist_ok=True)
    parts = {"resources": ["../local"], "components": ["../../components/usage"]}
    (more / "kustomization.yaml").write_text(yaml.safe_dump(parts))
    (role,) = of(copy.objects("usage"), "ClusterRole")
    assert [rule["resources"] for rule in role["rules"]] == [["nodes/proxy"]]


def test_passwords_are_drawn_once_and_s3_is_asked_for(tmp_path: Path) -> None:
    made = copied(tmp_path / "k8s")
    refused = made.draw_secrets({})
    assert refused.returncode
    assert "AWS_ENDPOINT_URL: address of an S3 server, as pods reach it" in refused.stderr
    secrets = made.folder / "overlays" / "local" / "secrets"
    assert made.draw_secrets(S3).returncode == 0
    first = {file.name: file.read_text() for file in secrets.iterdir()}
    assert made.draw_secrets(S3 | {"AWS_ACCESS_KEY_ID": "another"}).returncode == 0
    again = {file.name: file.read_text() for file in secrets.iterdir()}
    assert {name for name in first if first[name] != again[name]} == {"object-store.env"}
    assert all(file.stat().st_mode & 0o077 == 0 for file in secrets.iterdir())


def test_each_exception_for_checkov_has_a_reason(rendered: dict[str, list[Manifest]]) -> None:
    lines = (ROOT / "k8s" / "checkov.yaml").read_text().splitlines()
    for before, line in pairwise(lines):
        assert not line.strip().startswith("- CKV") or before.strip().startswith("# "), line
    for one in (one for overlay in OVERLAYS for one in rendered[overlay]):
        said: dict[str, Any] = one["metadata"].get("annotations", {})
        for name, value in said.items():
            assert not name.startswith("checkov.io/") or re.fullmatch(r"CKV_\w+=.{20,}", value)


def test_the_secrets_of_an_installation_stay_out_of_git(copy: Copy) -> None:
    ignored = (ROOT / ".gitignore").read_text().splitlines()
    assert "k8s/overlays/local/secrets/" in ignored
    drawn = (copy.folder / "overlays" / "local" / "secrets").iterdir()
    assert {file.suffix for file in drawn} == {".env", ".json", ".conf"}
