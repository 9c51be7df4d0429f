"""What docs/kubernetes.md says to do on day 2 is held against the manifests."""

from __future__ import annotations

import os
import re
import subprocess
from collections import defaultdict
from typing import TYPE_CHECKING

from ml_tasks.config import ROOT
from ml_tasks.io.control import Control
from perennial import servers
from tests.k8s.conftest import PLATFORM, TASKS, WORKLOADS, containers, named, of

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.k8s.conftest import Manifest

PAGE = (ROOT / "docs" / "kubernetes.md").read_text().partition("\n## Day 2\n")[2]
DAY2 = PAGE.partition("\n## ")[0]
DATABASES = "control catalog feast mlflow airflow"


def read(workload: Manifest) -> set[str]:
    """Name the secrets that a workload is given."""
    volumes = workload["spec"]["template"]["spec"].get("volumes", ())
    told = [
        f["secretRef"]
        for c in containers(workload)
        for f in c.get("envFrom", ())
        if "secretRef" in f
    ]
    return {one["name"] for one in told} | {
        v["secret"]["secretName"] for v in volumes if "secret" in v
    }


def test_all_workloads_are_stopped_and_awaited(rendered: dict[str, list[Manifest]]) -> None:
    (said,) = re.findall(r'^all="(.+?)"', DAY2, re.MULTILINE | re.DOTALL)
    own = of(rendered["prod"], *WORKLOADS)
    assert sorted(said.split()) == sorted(
        f"{one['kind'].lower()}/{one['metadata']['name']}" for one in own
    )


def test_readers_of_secrets_are_those_that_are_named(rendered: dict[str, list[Manifest]]) -> None:
    readers = defaultdict(set)
    for workload in of(rendered["prod"], *WORKLOADS):
        for secret in read(workload):
            readers[secret].add(workload["metadata"]["name"])
    airflow = {name for name in set().union(*readers.values()) if name.startswith("airflow")}
    rows = dict(re.findall(r"^\| `([a-z-]+)`(?: \(in .+?\))? \| (.+?) \|$", DAY2, re.MULTILINE))
    environment = rows.pop("perennial-environment")
    assert "nobody has to start anew" in environment
    assert rows.keys() == readers.keys()
    for secret, told in rows.items():
        said = set(re.findall(r"`([a-z-]+)`", told))
        said |= airflow if told == "the four parts of Airflow" else set()
        if "control" in said:
            said = said - {"control"} | readers["control"]
        assert said == readers[secret], secret


def test_commands_name_what_there_is(rendered: dict[str, list[Manifest]]) -> None:
    local, prod = rendered["local"], rendered["prod"]
    server = named(local, "Deployment", "airflow-api-server")
    assert "-c api-server -- airflow" in DAY2
    assert "api-server" in {one["name"] for one in containers(server)}
    for name in ("postgres", "redis"):
        stateful = named(local, "StatefulSet", name)
        claims = stateful["spec"]["volumeClaimTemplates"]
        assert f"data-{name}-0" in {f"{one['metadata']['name']}-{name}-0" for one in claims}
        assert f"`data-{name}-0`" in DAY2 or f"pvc data-{name}-0" in DAY2
    (made,) = (
        m["data"]["databases.sql"] for m in of(local, "ConfigMap") if "databases.sql" in m["data"]
    )
    assert {f"CREATE DATABASE {name} OWNER {name};" for name in DATABASES.split()} <= set(
        made.splitlines()
    )
    assert DAY2.count(f"for one in {DATABASES}; do") == 2
    for flag, name in re.findall(r"-n \$([PT]) annotate --overwrite externalsecret (\S+)", DAY2):
        found = named(prod, "ExternalSecret", name)
        assert found["metadata"]["namespace"] == {"P": PLATFORM, "T": TASKS}[flag]
    budgets = {one["metadata"]["name"] for one in of(prod, "PodDisruptionBudget")}
    assert budgets == {one["metadata"]["name"] for one in of(prod, *WORKLOADS)}
    assert all(one["spec"]["replicas"] == 2 for one in of(prod, *WORKLOADS))


def test_a_database_is_brought_back_by_the_commands_that_are_named(
    server: Callable[[str], servers.Place], tmp_path: Path
) -> None:
    """On a Postgres laid out by the overlay's own file: rows, owner and the guards of the audit."""
    place = server("postgres")
    environ = {
        **os.environ,  # noqa: TID251 - a child's environment
        "PGHOST": "127.0.0.1",
        "PGPORT": str(place.port),
        "PGPASSWORD": place.secret(servers.SUPERUSER),
        **{f"{name.upper()}_PASSWORD": "drawn" for name in DATABASES.split()},
    }

    def run(command: str) -> None:
        subprocess.run(["bash", "-ec", command], env=environ, cwd=tmp_path, check=True)

    def promote(version: str, before: str | None) -> None:
        told = {"run": "r", "verdict_uri": "u", "who": "me", "why": "better"}
        control.promote("p", version, expected=before, **told)

    (back_up,) = re.findall(r"-- (pg_dump .+? >\$one\.dump)", DAY2)
    (restore,) = re.findall(r"(pg_restore .+? <\$one\.dump)", DAY2)
    run(f"psql -U postgres -q -v ON_ERROR_STOP=1 -f {ROOT}/k8s/overlays/local/databases.sql")
    control = Control(f"postgresql+psycopg://control:drawn@{place.address}/control")
    control.migrate()
    promote("1", None)
    run(f"one=control; {back_up}")
    promote("2", "1")
    run(f"one=control; {restore}")
    head = control.champion("p")
    assert head is not None
    assert (head.version, control.verify_audit()) == ("1", None)
    promote("3", "1")
    assert [entry.detail["version"] for entry in control.audit("p")] == ["1", "3"]
