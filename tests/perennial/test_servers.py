"""The profile `servers`: programs that are there or not, what the home remembers, restarts."""

from __future__ import annotations

import json
import os
import signal
import stat
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import psycopg
import pytest
from redis import Redis

from ml_tasks.config import Environment
from ml_tasks.errors import BackendError, ConfigError
from perennial import addresses, layout, servers
from perennial.__main__ import main
from perennial.ports import free_port
from perennial.processes import Processes
from perennial.services import Services

if TYPE_CHECKING:
    from collections.abc import Callable

GIVEN = {
    "PERENNIAL_POSTGRES_URL": "postgresql://admin:word@db.invalid:5432/shop",
    "PERENNIAL_REDIS_URL": "redis://:word@cache:6379/0",
    "PERENNIAL_S3_ENDPOINT": "http://store:9000",
    "AWS_ACCESS_KEY_ID": "id",
    "AWS_SECRET_ACCESS_KEY": "word",
}


AWS = (
    "AWS_ENDPOINT_URL", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN",
    "AWS_REGION", "AWS_DEFAULT_REGION",
)  # fmt: skip


@pytest.fixture(autouse=True)
def _no_s3(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the machine gives the other tests is not given here; what commands set is undone."""
    for name in AWS:
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)


def test_without_the_programs_each_is_said_with_a_mend(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr("perennial.servers.postgres.FOLDERS", ())
    assert main(["up", "--profile", "servers"]) == 78
    said = capsys.readouterr().err
    assert "Postgres: no initdb on the path" in said
    assert (
        "apt-get install redis-server, or brew install redis, or give PERENNIAL_REDIS_URL" in said
    )
    assert "S3: neither versitygw nor minio on the path" in said
    assert not (home / addresses.FILE).exists()
    monkeypatch.setenv("PERENNIAL_PROFILE", "servers")
    assert main(["doctor"]) == 78
    said = capsys.readouterr().out
    assert "apt-get install postgresql, or brew install" in said
    assert "!!\tredis\tRedis: no redis-server on the path" in said


def test_what_is_given_is_taken_and_nothing_started_for_it(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    given = addresses.recall("servers")
    assert servers.wanted(given) == ()
    assert Services(given).names[0] == "mlflow"
    found = addresses.resolve(given, {})
    assert found.redis == GIVEN["PERENNIAL_REDIS_URL"]
    assert found.s3_endpoint == "http://store:9000"
    assert found.control.startswith("postgresql+psycopg://shop_control:")
    assert found.control.endswith("@db.invalid:5432/shop_control")
    assert found.objects_root == "s3://perennial/objects"
    assert layout.databases(given) == ["airflow", "control", "catalog", "feast", "mlflow"]
    monkeypatch.setenv("PERENNIAL_MLFLOW_URL", "http://mlflow:80")
    monkeypatch.setenv("PERENNIAL_CONTROL_URL", "postgresql+psycopg://me:word@own/control")
    given = addresses.recall("servers")
    assert "mlflow" not in Services(given).names
    assert layout.databases(given) == ["airflow", "catalog", "feast"]
    assert addresses.resolve(given, {}).control.endswith("@own/control")
    assert home


def test_the_home_remembers_what_was_given(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PERENNIAL_LAUNCHER", "kubernetes")
    first = addresses.recall("servers")
    assert not addresses.remember(first)
    assert stat.S_IMODE((home / addresses.FILE).stat().st_mode) == 0o600
    for name in (*GIVEN, "PERENNIAL_LAUNCHER"):
        monkeypatch.delenv(name)
    assert addresses.recall() == first
    assert addresses.recall().launcher == "kubernetes"
    assert "warm" not in Services(addresses.recall()).names
    monkeypatch.setenv("PERENNIAL_REDIS_URL", "redis://:word@other:6379/0")
    assert addresses.recall().redis == "redis://:word@other:6379/0"
    assert addresses.remember(addresses.recall())
    monkeypatch.setenv("AWS_SESSION_TOKEN", "for an hour")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "for an hour")
    addresses.remember(addresses.recall())
    assert "for an hour" not in (home / addresses.FILE).read_text()


def test_a_home_of_files_remembers_its_host(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert home
    addresses.remember(addresses.recall())
    monkeypatch.setenv("PERENNIAL_HOST", "10.0.0.1")
    assert addresses.remember(addresses.recall())  # so that what runs is started anew
    monkeypatch.delenv("PERENNIAL_HOST")
    assert addresses.recall().host == "10.0.0.1"
    assert not addresses.remember(addresses.recall())
    monkeypatch.setenv("PERENNIAL_HOST", "127.0.0.1")
    assert addresses.remember(addresses.recall())
    monkeypatch.delenv("PERENNIAL_HOST")
    assert addresses.recall().host == "127.0.0.1"


def test_variables_that_repeat_what_the_home_made_are_nobodys_word(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A shell that was given `perennial env` is not a person who runs servers elsewhere."""
    addresses.remember(addresses.recall("servers"))
    ports = {"postgres": 7001, "redis": 7002, "s3": 7003, "mlflow": 7004}
    known = {n: {"pid": 1, "created": 0.0, "log": "", "port": port} for n, port in ports.items()}
    (home / "services.json").write_text(json.dumps(known))
    for name, value in addresses.resolve(addresses.recall(), ports).variables().items():
        monkeypatch.setenv(name, value)
    assert ":7002/0" in os.environ["PERENNIAL_REDIS_URL"]  # noqa: TID251 - it was set so
    assert Services(addresses.recall()).names[:4] == ("postgres", "redis", "s3", "mlflow")
    monkeypatch.setenv("PERENNIAL_REDIS_URL", "redis://elsewhere")
    assert servers.wanted(addresses.recall()) == ("postgres", "s3")


def test_a_home_has_one_profile(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    addresses.remember(addresses.recall())
    assert main(["up", "--profile", "servers"]) == 78
    assert "came profile servers, but it was made with embedded" in capsys.readouterr().err
    monkeypatch.setenv("PERENNIAL_HOME", str(home.with_name("other")))
    addresses.remember(addresses.recall("servers"))
    monkeypatch.setenv("PERENNIAL_PROFILE", "embedded")
    assert main(["status"]) == 78
    assert "came profile embedded, but it was made with servers" in capsys.readouterr().err


def test_a_home_from_before_is_embedded(home: Path) -> None:
    home.mkdir()
    (home / "control.db").touch()
    with pytest.raises(ConfigError, match="made with embedded"):
        addresses.recall("servers")


def test_an_unknown_profile(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up", "--profile", "cloud"]) == 78
    assert "PERENNIAL_PROFILE: came 'cloud'" in capsys.readouterr().err
    assert home


def test_what_holds_state_must_run(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    addresses.remember(addresses.recall("servers"))
    assert main(["env"]) == 75
    assert "Postgres does not run: perennial up" in capsys.readouterr().err
    assert main(["run", "ingest", "--window", "2013-01-01/2013-01-08"]) == 75
    assert "Postgres does not run: perennial up" in capsys.readouterr().err
    assert main(["status"]) == 75
    assert "not known: perennial up" in capsys.readouterr().err
    assert home


@pytest.mark.parametrize("host", ["0.0.0.0", ""])  # noqa: S104 - that is what is refused
def test_a_host_that_nobody_can_be_told(
    home: Path, host: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERENNIAL_HOST", host)
    assert main(["status"]) == 78
    assert "wanted one address of this machine" in capsys.readouterr().err
    assert home


def test_pods_are_told_no_loopback(
    home: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    addresses.remember(addresses.recall("servers"))
    monkeypatch.setenv("PERENNIAL_LAUNCHER", "kubernetes")
    for command in (["config", "check"], ["up"]):
        assert main(command) == 78
        said = capsys.readouterr().err
        assert "PERENNIAL_CONTROL_URL, PERENNIAL_CATALOG_URL, PERENNIAL_REDIS_URL" in said
        assert "PERENNIAL_S3_ENDPOINT came on this machine's loopback" in said
        assert "set PERENNIAL_HOST to an address of this machine that they reach" in said
    for name, value in GIVEN.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("PERENNIAL_MLFLOW_URL", "http://mlflow:80")
    assert main(["config", "check"]) == 0
    monkeypatch.setenv("PERENNIAL_OBJECTS", "file:///objects")
    assert main(["config", "check"]) == 78
    assert "PERENNIAL_OBJECTS came on this" in capsys.readouterr().err
    assert home


def test_a_host_of_another_machine() -> None:
    with pytest.raises(ConfigError, match=r"came 192\.0\.2\.1, wanted an address of this machine"):
        free_port(7000, "192.0.2.1")


@pytest.mark.skipif(os.geteuid() != 0, reason="Postgres runs as another user only under root")
def test_a_home_that_postgres_may_not_enter(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    place = servers.Place(tmp_path / "home", "127.0.0.1", 1)
    with pytest.raises(ConfigError, match=r"cannot enter .*chmod o\+x"):
        servers.SERVERS["postgres"].prepare(place)


def test_databases_are_made_once_and_closed_to_others(
    server: Callable[[str], servers.Place], tmp_path: Path
) -> None:
    place = server("postgres")
    login = f"{servers.SUPERUSER}:{place.secret(servers.SUPERUSER)}@{place.address}"
    given = Environment(
        profile="servers", home=tmp_path, postgres_url=f"postgresql://{login}/shop", bucket="b"
    )
    for _ in range(2):
        for name in layout.databases(given):
            layout._database(addresses.superuser(given, ""), addresses.database(given, "", name))
    control, airflow = (
        addresses.database(given, "", n).set(drivername="postgresql")
        for n in ("control", "airflow")
    )
    psycopg.connect(control.render_as_string(hide_password=False)).close()
    with pytest.raises(psycopg.OperationalError, match="permission denied"):
        psycopg.connect(
            control.set(database=airflow.database).render_as_string(hide_password=False)
        )
    other = given.model_copy(update={"home": tmp_path / "other"})
    with pytest.raises(ConfigError, match="another home's"):
        layout._database(addresses.superuser(other, ""), addresses.database(other, "", "control"))
    away = given.model_copy(update={"postgres_url": "postgresql://me:word@127.0.0.1:9/shop"})
    with pytest.raises(BackendError, match=r"Postgres at 127\.0\.0\.1:9"):
        layout._database(addresses.superuser(away, ""), addresses.database(away, "", "control"))


@pytest.mark.parametrize("name", ["postgres", "redis", "s3"])
def test_a_server_that_was_killed_starts_again_with_its_state(
    server: Callable[[str], servers.Place], servers_home: Path, name: str
) -> None:
    place = server(name)
    _write(name, place)
    processes, one = Processes(servers_home), servers.SERVERS[name]
    running = processes.known()[name]
    if name == "postgres":
        # A child that has not noticed still holds the shared memory; connections' come and go.
        for child in psutil.Process(running.pid).children():
            with suppress(psutil.NoSuchProcess):
                if any("checkpointer" in word for word in child.cmdline()):
                    child.suspend()
                    break
        else:
            pytest.fail("Postgres has no checkpointer")
    os.kill(running.pid, signal.SIGKILL)
    psutil.wait_procs([psutil.Process(running.pid)] if psutil.pid_exists(running.pid) else [], 10)
    if name == "postgres":
        # Its number has gone to somebody else meanwhile.
        mark = servers_home / "postgres" / "data" / "postmaster.pid"
        mark.write_text(mark.read_text().replace(str(running.pid), str(os.getpid()), 1))
    processes.end_strays()
    one.prepare(place)
    again = processes.start(
        name, one.argv(place), one.environ(place), port=place.port, user=one.user
    )
    while not one.ready(place):
        assert again.alive, Path(again.log).read_text()
    assert _read(name, place) == "here"


@pytest.mark.parametrize(
    ("mark", "ended"),
    [("{dead}", True), (None, True), ("", False), ("{one}", False), ("-{one}", False)],
    ids=["of the dead", "none", "of one that begins", "of one that lives", "of a single user"],
)
def test_of_processes_in_its_folder_those_are_ended_that_no_living_server_started(
    tmp_path: Path, mark: str | None, ended: bool
) -> None:
    place = servers.Place(tmp_path, "127.0.0.1", 1)
    data, other = tmp_path / "postgres" / "data", tmp_path / "other"
    for folder in (data, other):
        folder.mkdir(parents=True)
    program = tmp_path / "bin" / "postgres"  # what tells it apart is its name
    program.parent.mkdir()
    program.write_bytes(Path("/bin/sleep").read_bytes())
    program.chmod(0o755)
    dead = subprocess.Popen(["/bin/true"])
    dead.wait()
    one, stranger = (subprocess.Popen([program, "60"], cwd=folder) for folder in (data, other))
    file = data / "postmaster.pid"
    if mark is not None:
        file.write_text(mark.format(dead=dead.pid, one=one.pid) + "\nmore\n")
    try:
        servers.SERVERS["postgres"].prepare(place)
        assert (one.poll() is not None) is ended
        assert file.exists() is not ended
        assert stranger.poll() is None
    finally:
        for process in (one, stranger):
            process.kill()
            process.wait()


def _write(name: str, place: servers.Place) -> None:
    if name == "redis":
        with _redis(place) as client:
            client.set("kept", "here")
    elif name == "s3":
        _s3(place).create_bucket(Bucket="kept")
        _s3(place).put_object(Bucket="kept", Key="said", Body=b"here")
    else:
        with _connect(place) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS kept AS SELECT 'here' AS said")


def _read(name: str, place: servers.Place) -> str:
    if name == "redis":
        with _redis(place) as client:
            return bytes(client.get("kept") or b"").decode()
    if name == "s3":
        return str(_s3(place).get_object(Bucket="kept", Key="said")["Body"].read().decode())
    with _connect(place) as connection:
        row = connection.execute("SELECT said FROM kept").fetchone()
    assert row is not None
    return str(row[0])


def _s3(place: servers.Place) -> Any:
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=f"http://{place.address}",
        aws_access_key_id=servers.ACCESS_KEY,
        aws_secret_access_key=place.secret("s3"),
        region_name=servers.REGION,
    )


def _connect(place: servers.Place) -> psycopg.Connection:
    word = place.secret(servers.SUPERUSER)
    return psycopg.connect(f"postgresql://{servers.SUPERUSER}:{word}@{place.address}/postgres")


def _redis(place: servers.Place) -> Redis:
    return Redis(host=place.host, port=place.port, password=place.secret("redis"))
