"""What old runs left goes; what a version, the champion, a trigger or a lease needs stays."""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

import pyarrow as pa
import pytest

from ml_tasks.config import Environment
from ml_tasks.errors import ConfigError, LeaseLostError
from ml_tasks.io import housekeeping, objects, retention
from ml_tasks.io.control import Control, Report
from ml_tasks.io.database import now
from ml_tasks.io.lake import Lake
from ml_tasks.io.registry import RUN, Registry
from ml_tasks.io.schema import leases, sent
from ml_tasks.result import Result, Window
from perennial import clean

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Serve = Callable[[Path], str]

WEEK = Window.parse("2013-01-01/2013-01-08")
OLD = datetime.now(UTC) - timedelta(days=100)
UNTIL = datetime.now(UTC) - timedelta(days=90)


class Platform:
    """Runs with their objects, of any age."""

    def __init__(self, environment: Environment) -> None:
        self.environment = environment
        self.control, self.lake = Control(environment.control), Lake(environment)
        self.control.migrate()

    def write(self, path: str, text: str = "x" * 10, *, when: datetime = OLD) -> None:
        uri = f"{self.environment.objects_root}/{path}"
        objects.write_text(uri, text)
        os.utime(unquote(urlsplit(uri).path), (when.timestamp(),) * 2)

    def ingested(self, run: str, *, when: datetime = OLD) -> None:
        self.write(f"runs/p/{run}/ingest/1/staged_s.parquet", when=when)
        self.write(f"runs/p/{run}/validate/1/result.json", when=when)

    def trained(self, run: str, *, when: datetime = OLD, tag: str = "") -> None:
        result = Result(task="assemble", pipeline="p", run=run, values={"tag": tag})
        self.write(f"runs/p/{run}/assemble/1/result.json", result.model_dump_json(), when=when)
        if tag:
            self.write(f"runs/p/{run}/assemble/1/tag.json", json.dumps({"tag": tag}), when=when)
        for name in ("set.parquet", "train/1/model.onnx", "train/checkpoints/0.pt"):
            self.write(f"runs/p/{run}/train/{name}", when=when)

    def publish(self, value: int) -> int:
        at = pa.array([WEEK.start], pa.timestamp("us", "UTC"))
        rows = pa.table({"event_time": at, "value": [value]})
        with self.control.lease("raw.s", holder="r/validate", attempt=1) as lease:
            self.lake.publish("raw.s", rows, WEEK, lease)
        return self.lake.snapshot("raw.s")

    def tag(self, snapshot: int, name: str) -> None:
        with self.control.lease(retention.TAGS, holder="r/assemble", attempt=1) as lease:
            self.lake.tag("raw.s", snapshot, name, lease)

    def there(self) -> set[str]:
        root = f"{self.environment.objects_root}/"
        return {o.uri.removeprefix(root) for o in objects.find(root.rstrip("/"))}

    def runs(self) -> set[str]:
        return {path.split("/")[2] for path in self.there() if path.startswith("runs/")}


@pytest.fixture
def platform(environment: Environment) -> Platform:
    return Platform(environment)


def apart(platform: Platform, *, mlflow: bool = False) -> retention.Plan:
    made = retention.plan(platform.environment, UNTIL, mlflow=mlflow)
    retention.carry_out(platform.environment, made)
    return made


def test_old_windows_keep_what_says_how_they_came_in(platform: Platform) -> None:
    for run, when in (("in", OLD), ("failed", OLD), ("young", UNTIL + timedelta(days=1))):
        platform.ingested(run, when=when)
    with platform.control.lease("w", holder="in/materialise", attempt=1) as lease:
        platform.control.complete("p", WEEK.start.isoformat(), WEEK.end.isoformat(), "in", lease)
    made = apart(platform)
    assert {(i.kind, i.name, i.size) for i in made.items} == {
        ("run", "p/in", 10), ("run", "p/failed", 20),
    }  # fmt: skip
    assert platform.there() == {
        "runs/p/in/validate/1/result.json",
        "runs/p/young/ingest/1/staged_s.parquet",
        "runs/p/young/validate/1/result.json",
    }
    assert apart(platform).items == []


def test_however_its_root_is_spelt_a_champions_run_stays(tmp_path: Path) -> None:
    given = f"file://{tmp_path}/my objects//(1)/./"
    platform = Platform(Environment(home=tmp_path / "my home", objects=given))
    platform.ingested("head")
    platform.control.promote(
        "p", "1", expected=None, run="head", verdict_uri="v", who="w", why="better"
    )
    platform.ingested("old")
    made = apart(platform)
    assert [(item.kind, item.name) for item in made.items] == [("run", "p/old")]
    assert platform.runs() == {"head"}


def test_where_no_run_lies_that_control_knows_nothing_is_taken_away(platform: Platform) -> None:
    """It is another place: what is needed cannot be told from what is not."""
    platform.tag(platform.publish(1), f"{retention.TAG}of-a-version")
    platform.write("capsules/p/old/train/1.json")
    with platform.control.lease("w", holder="r/materialise", attempt=1) as lease:
        platform.control.complete("p", "2013-01-01", "2013-01-08", "r", lease)
    wanted = r"no run lies there, and runs of \['p'\] are known; set PERENNIAL_OBJECTS"
    with pytest.raises(ConfigError, match=wanted):
        retention.plan(platform.environment, UNTIL, mlflow=True)
    with pytest.raises(ConfigError, match=wanted):
        retention.free(platform.environment, retention.Plan(UNTIL), dry=False)
    assert "capsules/p/old/train/1.json" in platform.there()
    assert f"{retention.TAG}of-a-version" in platform.lake.load("raw.s").refs()


def test_what_lies_beside_the_runs_is_left_alone(platform: Platform) -> None:
    platform.write("runs/README")
    platform.write("capsules/p/README")
    assert apart(platform).items == []
    assert platform.there() == {"runs/README", "capsules/p/README"}


def test_who_lost_the_lease_takes_no_tag_away(
    platform: Platform, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"{retention.TAG}1"
    platform.tag(platform.publish(1), name)
    listed = Lake.tables

    def overtaken(lake: Lake) -> list[str]:
        with platform.control.transaction() as tx:
            tx.execute(leases.update().where(leases.c.resource == retention.TAGS).values(expires=0))
        with platform.control.lease(retention.TAGS, holder="r/assemble", attempt=1):
            return listed(lake)

    # Tables are asked for once it holds the lease and has looked at all runs.
    monkeypatch.setattr(Lake, "tables", overtaken)
    with pytest.raises(LeaseLostError):
        retention.free(platform.environment, retention.Plan(UNTIL), dry=False)
    assert name in platform.lake.load("raw.s").refs()


def test_one_young_object_keeps_a_run(platform: Platform) -> None:
    platform.ingested("cleared")
    platform.write("runs/p/cleared/ingest/2/staged_s.parquet", when=datetime.now(UTC))
    assert apart(platform).items == []


def test_open_triggers_and_held_leases_keep_their_runs(platform: Platform) -> None:
    for run in ("asked", "done", "holding", "held once", "held by another product's"):
        platform.ingested(run)
    for run in ("asked", "done"):
        trigger, _ = platform.control.ask("p", "form", f"{WEEK}", who="t", evidence={}, replay=run)
        platform.control.claim(trigger.id, run)
        if run == "done":
            platform.control.finish(trigger.id, "promoted")
    with platform.control.lease("a", holder="p/held once/derive", attempt=1):
        pass
    held = platform.control.lease
    with (
        held("b", holder="p/holding/derive", attempt=1),
        held("c", holder="q/held by another product's/derive", attempt=1),
        held("d", holder="backup 2026-11-28", attempt=1),
    ):
        apart(platform)
    assert platform.runs() == {"asked", "holding"}


def test_without_mlflow_no_training_goes(platform: Platform) -> None:
    platform.trained("candidate")
    platform.ingested("week")
    made = apart(platform)
    assert made.left == ["p/candidate"]
    assert platform.runs() == {"candidate"}


def test_alerts_go_once_they_are_closed_or_told(platform: Platform) -> None:
    control, old = platform.control, OLD.isoformat()
    for name, status, closed in (
        ("open", "open", None), ("old", "closed", old), ("young", "closed", now()),
    ):  # fmt: skip
        one = Report(
            pipeline="p", fingerprint=name, starts_at=old, source="s", status=status, labels={},
            annotations={}, link="", received=old, closed=closed,
        )  # fmt: skip
        control.report([one])
    for state, at in (("waiting", None), ("given up", None), ("sent", old), ("sent", now())):
        control.post("p", "failed", f"{state} {at}", [f"{state} {at}"], {})
        with control.transaction() as tx:
            own = sent.update().where(sent.c.channel == f"{state} {at}")
            tx.execute(own.values(state=state, sent=at, created=old))
    for dry in (True, False):
        made = retention.plan(platform.environment, UNTIL, mlflow=False)
        assert (made.reports, made.sent) == (1, 2)
        if not dry:
            retention.carry_out(platform.environment, made)
    assert [one.fingerprint for one in control.reports("p")] == ["open", "young"]
    left = [(one.state, one.sent is None) for one in control.sent("p")]
    assert sorted(left) == [("sent", False), ("waiting", True)]


def test_capsules_and_logs_go_with_age(platform: Platform) -> None:
    platform.write("capsules/p/lost/train-1.json")
    platform.write("capsules/p/new/train-1.json", when=datetime.now(UTC))
    home = platform.environment.home
    for name, when in (("dag_id=a/attempt=1.log", OLD), ("dag_id=b/attempt=1.log", UNTIL)):
        file = home / "airflow" / "logs" / name
        file.parent.mkdir(parents=True)
        file.write_text("log")
        os.utime(file, (when.timestamp() + 5,) * 2)
    made = apart(platform)
    assert {(i.kind, i.name) for i in made.items} == {
        ("capsules", "p/lost"), ("log", "airflow/logs"),
    }  # fmt: skip
    assert platform.there() == {"capsules/p/new/train-1.json"}
    assert [f.parent.name for f in home.rglob("*.log")] == ["dag_id=b"]


@pytest.fixture(scope="module")
def served(
    tmp_path_factory: pytest.TempPathFactory, mlflow_server: Serve
) -> tuple[Platform, dict[str, int]]:
    """A registered version, an old candidate, the champion's run, each with a set of its own."""
    root = tmp_path_factory.mktemp("retention")
    (root / "home").mkdir()
    environment = Environment(home=root / "home", mlflow_url=mlflow_server(root / "home"))
    platform = Platform(environment)
    registry = Registry(environment, "p")
    snapshots = {}
    for number, run in enumerate(("registered", "candidate", "champion", "young")):
        snapshots[run] = platform.publish(number)
        tag = retention.set_tag(run, {"raw.s": snapshots[run]})
        platform.tag(snapshots[run], tag)
        when = datetime.now(UTC) if run == "young" else OLD
        platform.trained(run, when=when, tag=tag)
        registry.attach(registry.run(run, "train"), "curves.png", b"y" * 50)
    platform.publish(9)
    registry.client.create_registered_model("p")
    made_by = registry.run("registered")
    told = {RUN: "registered", "set_hash": "registered", "complete": "true"}
    told["snapshots"] = json.dumps({"raw.s": snapshots["registered"]})
    registry.client.create_model_version("p", f"runs:/{made_by}/model", made_by, tags=told)
    platform.control.promote(
        "p", "7", expected=None, run="champion", verdict_uri="file:///v", who="t", why="t"
    )
    return platform, snapshots


def tags(platform: Platform) -> set[int]:
    refs = platform.lake.load("raw.s").refs()
    return {ref.snapshot_id for name, ref in refs.items() if name.startswith("set-")}


def test_a_dry_run_says_what_the_real_one_takes(
    served: tuple[Platform, dict[str, int]],
) -> None:
    platform, snapshots = served
    given = platform.environment
    before, tagged = platform.there(), tags(platform)
    said = clean.run(given, 1, mlflow=True, dry=True)
    assert (platform.there(), tags(platform)) == (before, tagged)
    assert {(i.kind, i.name) for i in said[0].items} == {
        ("run", "p/candidate"), ("artifacts", "p/candidate"),
    }  # fmt: skip
    assert said[0].size > 50
    done = clean.run(given, 1, mlflow=True, dry=False)
    assert (done[0].items, done[1]) == (said[0].items, said[1])
    assert platform.runs() == {"registered", "champion", "young"}
    assert tags(platform) == {snapshots[r] for r in ("registered", "champion", "young")}
    registry = Registry(given, "p")
    kept = {
        run: len(registry.client.list_artifacts(registry.run(run, "train")))
        for run in ("candidate", "registered")
    }
    assert kept == {"candidate": 0, "registered": 1}


def test_a_freed_snapshot_expires_and_the_others_do_not(
    served: tuple[Platform, dict[str, int]],
) -> None:
    platform, snapshots = served
    clean.run(platform.environment, 1, mlflow=True, dry=False)
    later = datetime.now(UTC) + timedelta(minutes=1)
    grace = timedelta(minutes=-1)
    said = housekeeping.clean(platform.environment, later, grace=grace, dry=True)
    done = housekeeping.clean(platform.environment, later, grace=grace)
    assert said.snapshots == done.snapshots
    assert set(said.files) <= set(done.files)
    left = {s.snapshot_id for s in platform.lake.load("raw.s").snapshots()}
    assert snapshots["candidate"] not in left
    for run in ("registered", "champion", "young"):
        assert platform.lake.read("raw.s", snapshot=snapshots[run]).num_rows == 1


def test_a_dry_run_counts_what_a_freed_tag_holds(platform: Platform) -> None:
    first = platform.publish(1)
    platform.tag(first, "set-a")
    platform.publish(2)
    later, none = datetime.now(UTC) + timedelta(minutes=1), timedelta(minutes=-1)
    kept = housekeeping.clean(platform.environment, later, grace=none, dry=True)
    freed = housekeeping.clean(
        platform.environment, later, grace=none, dry=True, freed=[("raw.s", "set-a")]
    )
    assert freed.snapshots == kept.snapshots + 1
    assert freed.size > kept.size
    assert platform.lake.read("raw.s", snapshot=first).num_rows == 1
