from __future__ import annotations

import re

import pytest
import yaml

from ml_tasks.config import ROOT, Environment

TEXT = (ROOT / "docker" / "compose.yaml").read_text()
COMPOSE = yaml.safe_load(TEXT)
SERVICES = COMPOSE["services"]
OURS = ("setup", "mlflow", "api-server", "scheduler", "dag-processor", "triggerer")


def test_all_that_the_profile_wants_is_there() -> None:
    assert set(SERVICES) == {"postgres", "redis", "s3", *OURS}


@pytest.mark.parametrize("name", OURS)
def test_ours_can_write_to_volumes_alone(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert "user" not in service
    assert service["volumes"][0] == "/tmp"  # noqa: S108 - a volume of the container's own
    assert service["build"]["target"] == "standalone"


def test_no_secret_has_a_default() -> None:
    named = re.findall(r"\$\{(\w*(?:PASSWORD|SECRET)\w*)([^}]*)\}", TEXT)
    assert {name for name, _ in named} == {
        "POSTGRES_PASSWORD",
        "REDIS_PASSWORD",
        "S3_SECRET",
        "AIRFLOW_SECRET",
        "AIRFLOW_PASSWORD",
    }
    assert all(rest.startswith(":?") for _, rest in named)


def test_ports_are_open_to_this_machine_alone() -> None:
    ports = [port for service in SERVICES.values() for port in service.get("ports", ())]
    assert sorted(ports) == ["127.0.0.1:5000:5000", "127.0.0.1:8080:8080"]


def test_what_is_waited_for_and_mounted_is_there() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= set(SERVICES)
        assert {c["source"] for c in service.get("configs", ())} <= set(COMPOSE["configs"])
        named = {v.partition(":")[0] for v in service.get("volumes", ()) if not v.startswith("/")}
        assert named <= set(COMPOSE["volumes"])
    for name, service in SERVICES.items():
        for other, how in service.get("depends_on", {}).items():
            healthy = how["condition"] == "service_healthy"
            assert not healthy or "healthcheck" in SERVICES[other], (name, other)


def test_our_variables_make_a_profile_of_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVICES["scheduler"]["environment"].items():
        if name.startswith(("PERENNIAL_", "AWS_")):
            monkeypatch.setenv(name, re.sub(r"\$\{\w+:\?[^}]*\}", "word", value))
    found = Environment()
    assert found.profile == "servers"
    assert found.control == "postgresql+psycopg://perennial:word@postgres/control"
    assert found.objects_root == "s3://perennial/objects"
    assert found.s3_endpoint == "http://s3:7070"
    databases = set(re.findall(r"CREATE DATABASE (\w+);", TEXT))
    assert databases == set(re.findall(r"@postgres/(\w+)", TEXT))
