"""Places beside the real ones: on real servers, and with a Secret on a real cluster."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from redis import Redis

from ml_tasks.config import Environment
from ml_tasks.errors import BackendError, ConfigError
from ml_tasks.io import objects
from ml_tasks.io.control import Control
from perennial import apart, layout, servers
from tests import playground

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from kubernetes.client import CoreV1Api

KINDS = ("local", "kubernetes", "kubernetes")


@pytest.fixture(scope="module")
def core() -> CoreV1Api:
    """The cluster that KUBECONFIG names."""
    return playground.found()


@pytest.fixture(scope="module")
def namespace(core: CoreV1Api) -> Iterator[str]:
    name = f"perennial-test-{uuid.uuid4().hex[:8]}"
    core.create_namespace({"metadata": {"name": name}})
    yield name
    core.delete_namespace(name)


@pytest.fixture
def given(
    server: Callable[[str], servers.Place],
    new_database: Callable[[], str],
    redis_url: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Environment:
    """Servers that are in use: each of them holds something."""
    place, bucket = server("s3"), f"test-{uuid.uuid4().hex[:8]}"
    made = Environment(
        home=tmp_path / "home",
        profile="servers",
        launcher="kubernetes",
        objects=f"s3://{bucket}/objects",
        warehouse=f"s3://{bucket}/lake",
        landing=f"s3://{bucket}/landing",
        control_url=new_database(),
        catalog_url=new_database(),
        feast_registry=new_database(),
        redis_url=redis_url,
        s3_endpoint=f"http://{place.address}",
        aws_access_key_id=servers.ACCESS_KEY,
        aws_secret_access_key=place.secret("s3"),
        aws_region=servers.REGION,
    )
    for name, value in made.variables().items():
        monkeypatch.setenv(name, value)
    layout.s3(made).create_bucket(Bucket=bucket)
    fill(made)
    return made


def fill(place: Environment) -> None:
    """Write something wherever a place keeps state."""
    Control(place.control).migrate()
    Control(place.control).ask("p", "form", "2013-01-01/2013-01-08", who="me", evidence={})
    for root in (place.objects_root, place.warehouse_root):
        objects.write_text(f"{root}/one/two/three.json", "{}")
        objects.write_text(f"{root}/one/two/gone.json", "{}")
        objects.delete(f"{root}/one/two/gone.json")
    if place.profile == "servers":
        for url in (place.catalog, place.feast):
            with sa.create_engine(url, poolclass=sa.pool.NullPool).begin() as connection:
                connection.execute(sa.text("CREATE TABLE one (number int)"))
        with Redis.from_url(place.redis) as client:
            client.set("one", "1")


def held(given: Environment) -> dict[str, Any]:
    """Give all that the servers hold."""
    found: dict[str, Any] = {}
    for field in apart.DATABASES:
        engine = sa.create_engine(getattr(given, field), poolclass=sa.pool.NullPool)
        with engine.begin() as connection:
            tables = "SELECT schemaname || '.' || relname FROM pg_stat_user_tables ORDER BY 1"
            found[field] = connection.execute(sa.text(tables)).scalars().all()
            schemas = "SELECT nspname::text FROM pg_namespace WHERE nspname LIKE 'parity%'"
            found[f"{field} schemas"] = connection.execute(sa.text(schemas)).scalars().all()
    found["triggers"] = len(Control(given.control).triggers("p"))
    bucket = given.objects.split("/")[2]
    listed = layout.s3(given).list_objects_v2(Bucket=bucket).get("Contents", ())
    found["objects"] = [one["Key"] for one in listed]
    with Redis.from_url(given.redis) as client:
        found["redis"] = client.info("keyspace")
    return found


def secrets(core: CoreV1Api, namespace: str) -> list[str]:
    return [one.metadata.name for one in core.list_namespaced_secret(namespace).items]


def test_what_is_done_apart_is_seen_nowhere_and_gone_after(
    given: Environment, core: CoreV1Api, namespace: str
) -> None:
    given = given.model_copy(update={"namespace": namespace})
    before = held(given)
    with apart.places(given, KINDS, "1", keep=False) as made:
        for place in made:
            place.home.mkdir(parents=True, exist_ok=True)
            Control(place.control).migrate()
            assert Control(place.control).triggers("p") == []
            fill(place)
        assert secrets(core, namespace) == ["parity-1-2", "parity-1-3"]
        during = held(given)
        assert during["triggers"] == before["triggers"]
        assert len(during["control_url schemas"]) == 2
        assert during["redis"].keys() == {"db0", "db1", "db2"}
        assert during["redis"]["db0"] == before["redis"]["db0"]
        new = set(during["objects"]) - set(before["objects"])
        assert {key.split("/")[0] for key in new} == {"parity_1_2", "parity_1_3"}
    assert held(given) == before
    assert secrets(core, namespace) == []
    assert not (given.home / "parity").exists()


def test_what_is_kept_is_said(given: Environment, core: CoreV1Api, namespace: str) -> None:
    given = given.model_copy(update={"namespace": namespace})
    with apart.places(given, ("local", "kubernetes"), "5", keep=True) as (one, other):
        pass
    assert apart.where(one) == str(given.home / "parity" / "5" / "1")
    said = apart.where(other)
    bucket = given.objects.rpartition("/")[0]
    assert said.startswith("schemas parity_5_2_* in the databases of")
    assert said.endswith(
        f"{bucket}/parity_5_2/, database 1 of Redis, Secret parity-5-2 in {namespace}"
    )
    assert secrets(core, namespace) == ["parity-5-2"]
    core.delete_namespaced_secret("parity-5-2", namespace)
    with Redis.from_url(other.redis) as client:
        client.flushdb()


def test_what_cannot_be_made_leaves_nothing(given: Environment, core: CoreV1Api) -> None:
    assert core
    before = held(given)
    wrong = given.model_copy(update={"feast_registry": given.feast_registry + "_no"})
    with pytest.raises(BackendError), apart.places(wrong, KINDS, "2", keep=False):
        pass
    assert held(given) == before


def test_a_redis_that_is_full_is_told(given: Environment, core: CoreV1Api) -> None:
    assert core
    databases = [given.redis.rpartition("/")[0] + f"/{n}" for n in apart.REDIS_DATABASES]
    try:
        for url in databases:
            with Redis.from_url(url) as client:
                client.set("one", "1")
        with pytest.raises(ConfigError, match=r"1 is in use; 2 is in use.*wanted an empty"), \
             apart.places(given, KINDS, "3", keep=False):  # fmt: skip
            pass
    finally:
        for url in databases:
            with Redis.from_url(url) as client:
                client.flushdb()


def test_tasks_of_this_machine_are_told_no_server(given: Environment) -> None:
    with apart.places(given, ("local",), "4", keep=False) as (place,):
        told = {**given.variables(), **place.variables()}
        for name in ("CONTROL_URL", "CATALOG_URL", "OBJECTS", "WAREHOUSE"):
            assert str(place.home) in told[f"PERENNIAL_{name}"]
        assert told["PERENNIAL_LANDING"] == given.landing
