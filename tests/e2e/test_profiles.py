"""The whole loop on the profile `servers`, held against the same tasks on `embedded`."""

from __future__ import annotations

import os
import shutil
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
import pytest

from ml_tasks.io.control import Control
from perennial import servers
from perennial.__main__ import main
from perennial.given import environment as given
from perennial.services import AIRFLOW, Services
from tests.e2e import loop
from tests.e2e.conftest import NAME

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from ml_tasks.config import Environment
    from tests.e2e.laptop import Laptop

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1800)]

AWS = (
    "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_REGION", "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
)  # fmt: skip


@pytest.fixture(scope="module")
def variables(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, str]]:
    """A home of its own, which Postgres's user may enter, with a bucket of its own."""
    pipelines = tmp_path_factory.mktemp("product") / "pipelines"
    loop.write(pipelines)
    home = Path(tempfile.mkdtemp(prefix="perennial-"))
    home.chmod(0o711)
    yield {
        "PERENNIAL_HOME": str(home),
        "PERENNIAL_PIPELINES": str(pipelines),
        "PERENNIAL_PROFILE": "servers",
        **({"PERENNIAL_BUCKET": f"test-{uuid.uuid4().hex[:12]}"} if _s3_given() else {}),
    }
    shutil.rmtree(home)


def _s3_given() -> bool:
    return "AWS_ENDPOINT_URL" in os.environ  # noqa: TID251 - a switch of the tests


@pytest.fixture
def services(
    variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[[], Services]]:
    """Those of that home without Airflow, as commands find them; skipped without their programs."""
    for name in AWS:
        # What a command sets in this process is undone.
        before = os.environ.get(name)  # noqa: TID251
        monkeypatch.setenv(name, before or "")
        if before is None:
            monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    if missing := [m for n in servers.wanted(given()) if (m := servers.SERVERS[n].missing())]:
        if os.environ.get("CI"):  # noqa: TID251
            pytest.fail(f"CI has programs too few: {missing}")
        pytest.skip("; ".join(missing))
    yield lambda: Services(given(), airflow=False)
    _empty(Services(given()).environment)
    Services(given()).down()


def _empty(environment: Environment) -> None:
    import boto3

    if environment.bucket and environment.s3_endpoint:
        bucket = boto3.Session().resource("s3").Bucket(environment.bucket)
        bucket.objects.delete()
        bucket.delete()


def test_both_profiles_make_equal_outputs(
    services: Callable[[], Services], laptop: Laptop, capsys: pytest.CaptureFixture[str]
) -> None:
    running = services()
    running.up(lambda _name, _seconds: None)
    assert running.dead() == []
    assert {"postgres", "redis"} <= set(running.names)
    loop.run(running.present)
    on_servers = loop.made(running.present)
    assert on_servers == loop.made(laptop.environment())
    assert len([key for key in on_servers if key[0] == "trained"]) >= 5
    assert {key[1] for key in on_servers if key[0] == "watched"} == {"score", "monitor"}
    assert not (running.home / "control.db").exists()
    assert not (running.home / "objects").exists()

    capsys.readouterr()
    assert Services(given()).dead() == list(AIRFLOW)
    assert main(["status"]) == 75
    assert "2 windows, up to 2013-02-01\tversion 1 since" in capsys.readouterr().out
    assert main(["env"]) == 0
    plain = capsys.readouterr().out
    assert f"export PERENNIAL_OBJECTS={running.environment.objects_root}" in plain
    assert "PERENNIAL_CONTROL_URL" not in plain
    assert main(["env", "--secrets"]) == 0
    assert f"export PERENNIAL_CONTROL_URL={running.environment.control}" in capsys.readouterr().out
    assert main(["lineage", "champion", "-p", NAME]) == 0
    assert "raw.flights" in capsys.readouterr().out

    known = running.processes.known()
    assert main(["down"]) == 0
    assert not [name for name, one in known.items() if psutil.pid_exists(one.pid)]
    assert main(["status"]) == 75
    assert "not known: perennial up" in capsys.readouterr().err


def test_a_wiped_home_comes_back_with_its_databases(
    services: Callable[[], Services],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """What is not copied, the object store, is left as it is."""
    home, target = services().home, str(tmp_path / "backup")
    fresh = {name: os.environ.get(name) for name in AWS}  # noqa: TID251
    services().stores_up(lambda _name, _seconds: None)
    audit = Control(services().present.control).audit()
    assert main(["backup", target]) == 0
    assert main(["restore", target]) == 78
    assert "run in" in capsys.readouterr().err
    assert main(["down"]) == 0
    assert main(["restore", target]) == 78
    assert f"{home / 'postgres'}, {home / 'redis'}: there is state" in capsys.readouterr().err
    for place in [place for place in home.iterdir() if place.name != "s3"]:
        shutil.rmtree(place) if place.is_dir() else place.unlink()
    for name, value in fresh.items():  # as in another process, which no command has told anything
        monkeypatch.setenv(name, value or "")
        if value is None:
            monkeypatch.delenv(name)

    assert main(["restore", target]) == 0
    assert [n for n, one in services().processes.known().items() if one.alive] == []
    services().stores_up(lambda _name, _seconds: None)
    control = Control(services().present.control)
    assert control.audit() == audit != []
    assert control.verify_audit() is None
    assert len(control.windows(NAME)) == 2
