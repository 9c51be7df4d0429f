"""The whole loop in a real Airflow, by the command that the README names."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import pytest
import yaml
from ml_launch import tree
from ml_launch.command import slug

from ml_tasks import config
from ml_tasks.config import ROOT, Environment
from ml_tasks.flow import FLOWS
from ml_tasks.io.content import content_hash
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake
from ml_tasks.io.registry import Registry
from ml_tasks.io.schema import triggers
from ml_tasks.io.triggers import DONE
from perennial import airflow_api, runner
from perennial.__main__ import main
from perennial.airflow_api import Airflow
from perennial.services import Services

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.plugins.alerts.receivers import Mailbox, Receiver

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(900)]

NAME = "small_delays"
WINDOW = "2013-01-01/2013-01-22"


def demo(follow: int = 0) -> int:
    return main(["demo", "--pipeline", NAME, "--until", "2013-01-22", "--follow", str(follow)])


def typed(world: dict[str, str]) -> subprocess.Popen[str]:
    """Start the command as a person does, in a process of its own."""
    return subprocess.Popen(
        [sys.executable, "-m", "perennial", "demo", "-p", NAME, "--until", "2013-01-22"],
        env={**os.environ, **world},  # noqa: TID251 - a child's environment
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def wait_for(what: Callable[[], Any], seconds: float = 240) -> Any:
    limit = time.monotonic() + seconds
    while not (found := what()):
        assert time.monotonic() < limit, "it did not come"
        time.sleep(0.2)
    return found


def state(environment: Environment) -> dict[str, Any]:
    """All that a second demo must not change."""
    lake, control = Lake(environment), Control(environment.control)
    return {
        "tables": {t: content_hash(lake.read(t)) for t in lake.tables()},
        "snapshots": {t: lake.snapshot(t) for t in lake.tables()},
        "head": control.champion(NAME),
        "triggers": control.triggers(NAME),
        "versions": [v.version for v in Registry(environment, NAME).versions()],
    }


def test_interrupted_it_leaves_nothing_running(in_world: Services, world: dict[str, str]) -> None:
    """Its terminal is closed; to the command all interruptions are one."""
    begun = typed(world)
    wait_for(lambda: not in_world.dead())
    time.sleep(2)
    pids = [running.pid for running in in_world.processes.known().values()]
    begun.send_signal(signal.SIGHUP)
    said, _ = begun.communicate(timeout=180)
    assert begun.returncode == 130, said
    assert "the same command goes on from here" in said
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_a_killed_scheduler_is_said_and_the_next_demo_goes_on(
    in_world: Services, world: dict[str, str]
) -> None:
    begun = typed(world)
    control = Control(in_world.given.control)
    wait_for(lambda: in_world.processes.known() and not in_world.dead())
    wait_for(lambda: control.windows(NAME))
    os.kill(in_world.processes.known()["scheduler"].pid, signal.SIGKILL)
    said, _ = begun.communicate(timeout=180)
    assert begun.returncode == 75, said
    assert "scheduler ended; see perennial logs scheduler" in said
    assert demo() == 0
    assert [w.start[:10] for w in control.windows(NAME)] == [
        "2013-01-01",
        "2013-01-08",
        "2013-01-15",
    ]


def test_there_is_a_champion_and_all_agree_on_it(in_world: Services) -> None:
    assert demo() == 0
    environment = in_world.environment
    head = Control(environment.control).champion(NAME)
    assert head is not None
    registry = Registry(environment, NAME)
    version = registry.client.get_model_version_by_alias(NAME, "champion")
    assert version.version == head.version
    (trigger,) = Control(environment.control).triggers(NAME)
    assert (trigger.cause, trigger.window) == ("demo", WINDOW)
    assert (trigger.state, trigger.outcome) == ("done", f"promoted version {head.version}")
    runs = registry.client.search_runs([registry.experiment], max_results=100)
    parents = [r for r in runs if r.data.tags["perennial.task"] == ""]
    assert {r.info.status for r in parents} == {"FINISHED"}
    assert len(parents) == 4
    told = {r.data.tags["perennial.task"] for r in runs if r.data.tags["perennial.run"] == head.run}
    wanted = {step.task for step in FLOWS["training"] if not step.teardown}
    assert told >= wanted


def test_services_listen_on_this_machine_alone(in_world: Services) -> None:
    assert demo() == 0
    listening = set()
    for running in in_world.processes.known().values():
        for one in tree.members(running.pid):
            with suppress(psutil.NoSuchProcess):  # a task's ends while it is looked at
                found = one.net_connections("tcp")
                listening |= {c.laddr.ip for c in found if c.status == psutil.CONN_LISTEN}
    assert listening == {"127.0.0.1"}


def test_a_second_demo_changes_nothing(
    in_world: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo() == 0
    before = state(in_world.environment)
    capsys.readouterr()
    assert demo() == 0
    said = capsys.readouterr().out
    assert "nothing to do" in said
    assert "is champion" in said
    assert state(in_world.environment) == before


def finished(airflow: Airflow, dag: str, run: str) -> dict[str, Any]:
    def look() -> dict[str, Any] | None:
        found = {r["dag_run_id"]: r for r in airflow.runs(dag)}
        return found[run] if found[run]["state"] in ("success", "failed") else None

    ended: dict[str, Any] = wait_for(look)
    return ended


def asked(airflow: Airflow, **conf: Any) -> dict[str, str]:
    """Ask as another system would; give the states of the intake's tasks that start trainings."""
    run = airflow.start(f"{NAME}__intake", conf)
    finished(airflow, f"{NAME}__intake", run)
    return started(airflow, run)


def started(airflow: Airflow, run: str) -> dict[str, str]:
    """Give the states of the tasks of an intake's run that start trainings."""
    found = {t["task_id"]: t["state"] for t in airflow.tasks(f"{NAME}__intake", run)}
    return {task: found[task] for task in ("ask", "sweep")}


def posted(told: Receiver, kind: str) -> list[dict[str, Any]]:
    """Give what was posted of a kind."""
    return [body for _path, _headers, body in told.came if body["kind"] == kind]


def test_runs_are_found_page_by_page(in_world: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    assert demo() == 0
    airflow, dag = Airflow(in_world), f"{NAME}__ingestion"
    known = [run["dag_run_id"] for run in airflow.runs(dag)]
    assert len(known) == 3
    for page in (1, 2, 3):
        monkeypatch.setattr(airflow_api, "PAGE", page)
        assert [run["dag_run_id"] for run in airflow.all_runs(dag)] == known


def test_the_same_wish_twice_trains_once(in_world: Services) -> None:
    assert demo() == 0
    airflow, control = Airflow(in_world), Control(in_world.environment.control)
    conf = {"cause": "demo", "window_start": "2013-01-01", "window_end": "2013-01-22"}
    before = len(airflow.runs(f"{NAME}__training"))
    assert asked(airflow, **conf) == {"ask": "skipped", "sweep": "skipped"}
    assert len(control.triggers(NAME)) == 1
    time.sleep(3)
    assert len(airflow.runs(f"{NAME}__training")) == before


def test_another_systems_alert_trains_a_challenger_that_is_no_better(
    in_world: Services, told: Receiver
) -> None:
    """It comes five times, as Alertmanager repeats itself, and is one training."""
    assert demo() == 0
    airflow, control = Airflow(in_world), Control(in_world.environment.control)
    head = control.champion(NAME)
    alert = {
        "status": "firing",
        "labels": {"pipeline": NAME, "alertname": "FeedChanged"},
        "startsAt": "2013-01-21T10:00:00Z",
        "fingerprint": "a1b2",
    }
    for _ in range(5):
        airflow._ask("POST", "/perennial/alerts", json={"version": "4", "alerts": [alert]})
    trigger = wait_for(
        lambda: next((t for t in control.triggers(NAME) if t.cause == "outside"), None)
    )
    assert trigger.evidence["reports"][0]["labels"] == alert["labels"]
    wait_for(lambda: control.trigger(trigger.id).state == "done")
    (training,) = airflow.runs(f"{NAME}__training", key=trigger.id)
    (asking,) = [t for t in posted(told, "trigger") if t["evidence"]["trigger"] == trigger.id]
    assert asking["cause"] == "reported: FeedChanged"
    (refusal,) = wait_for(lambda: posted(told, "rejected"))
    assert "beats_champion" in refusal["cause"]
    ended = control.trigger(trigger.id)
    assert "not promoted: 1 gates did not pass: beats_champion" in (ended.outcome or "")
    assert control.champion(NAME) == head
    run = finished(airflow, f"{NAME}__training", training["dag_run_id"])
    tasks = {t["task_id"]: t["state"] for t in airflow.tasks(run["dag_id"], run["dag_run_id"])}
    assert run["state"] == "success"
    assert tasks["judge"] == "success"
    assert {tasks[name] for name in ("reference", "register", "promote")} == {"skipped"}
    assert tasks["record"] == "success"


def test_what_was_lost_is_swept_up_and_a_replay_starts_at_once(
    in_world: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    """Whoever wrote the first one died before the event; nobody asks again."""
    assert demo() == 0
    airflow, control = Airflow(in_world), Control(in_world.environment.control)
    first = control.triggers(NAME)[0]
    lost, _ = control.ask(NAME, "metrics", WINDOW, who="a monitor", evidence={})
    long_ago = (datetime.now(UTC) - timedelta(minutes=11)).isoformat()
    with control.transaction() as tx:
        tx.execute(triggers.update().where(triggers.c.id == lost.id).values(created=long_ago))
    wait_for(lambda: control.trigger(lost.id).state != "asked")
    capsys.readouterr()
    assert main(["triggers", "replay", first.id, "--why", "to see it again"]) == 0
    assert f"{NAME}__intake starts its training: run manual__" in capsys.readouterr().out
    replayed = next(t for t in control.triggers(NAME) if t.evidence.get("replays") == first.id)
    wait_for(lambda: control.trigger(lost.id).state == control.trigger(replayed.id).state == "done")
    for trigger in (lost, replayed):
        (run,) = airflow.runs(f"{NAME}__training", key=trigger.id)
        assert slug(run["dag_run_id"]) == control.trigger(trigger.id).run
    runs = [r for r in airflow.runs(f"{NAME}__intake") if r["run_type"] == "asset_triggered"]
    states = [started(airflow, run["dag_run_id"]) for run in runs]
    assert {"ask": "skipped", "sweep": "success"} in states


def test_a_wish_that_makes_no_sense_is_refused_and_its_owner_is_told(
    in_world: Services, told: Receiver
) -> None:
    assert demo() == 0
    airflow = Airflow(in_world)
    conf = {"window_start": "2013-03-01", "window_end": "2013-02-01"}
    assert asked(airflow, **conf) == {"ask": "failed", "sweep": "skipped"}
    run = airflow.runs(f"{NAME}__intake")[0]["dag_run_id"]
    lines = airflow.log(f"{NAME}__intake", run, "ask", 1)
    assert any("the start must come before the end" in line for line in lines), lines
    (failure,) = [f for f in posted(told, "failed") if f["evidence"]["run"] == run]
    assert "the start must come before the end" in failure["cause"]
    assert failure["links"]["Airflow"].startswith(in_world.airflow_url)


def subjects(mailbox: Mailbox) -> list[str]:
    """Give what the e-mails are about that came, in their order."""
    return [str(message["Subject"]) for _to, message in mailbox.came]


def test_samples_are_sent_through_airflow(
    in_world: Services, told: Receiver, mailbox: Mailbox, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo() == 0
    capsys.readouterr()
    assert main(["alerts", "test", "-p", NAME]) == 0
    assert "\tsent\t1\t" in capsys.readouterr().out
    assert len(posted(told, "test")) == len(posted(told, "promoted")) == 1
    assert "a sample" in subjects(mailbox)[-1]


def test_status_logs_and_lineage_tell_of_it(
    in_world: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo() == 0
    capsys.readouterr()
    assert main(["status"]) == 0
    said = capsys.readouterr().out
    assert f"{NAME}\t3 windows, up to 2013-01-22\tversion 1 since" in said
    assert said.count("\trunning\t") == 6
    assert main(["logs", "mlflow", "-n", "3"]) == 0
    assert main(["logs", f"{NAME}__training", "train"]) == 0
    assert main(["logs", f"{NAME}__training", "train", "--run", "nosuch"]) == 78
    made = Control(in_world.given.control).windows(NAME)[0].run
    assert main(["logs", f"{NAME}__ingestion", "ingest", "--run", made]) == 0
    assert main(["logs", "nosuch__training"]) == 78
    assert main(["logs", f"{NAME}__training", "nosuch"]) == 78
    assert "ml_tasks train" in capsys.readouterr().out
    assert main(["lineage", "champion", "-p", NAME]) == 0
    said = capsys.readouterr().out
    assert "semantic_version\t1.0.0" in said
    assert "raw.flights\t" in said
    assert "flights 5957 published, 0 in quarantine" in said
    assert main(["lineage", "9", "-p", NAME]) == 78
    assert "came version '9', wanted champion or one of ['1 (1.0.0)']" in capsys.readouterr().err


def test_a_rollback_moves_head_and_alias_and_emits_the_event_once(
    in_world: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    assert demo() == 0
    environment = in_world.environment
    airflow, control = Airflow(in_world), Control(environment.control)
    registry, head = Registry(environment, NAME), control.champion(NAME)
    assert head is not None
    first = registry.client.get_model_version(NAME, head.version)
    second = registry.client.create_model_version(
        NAME, first.source, first.run_id, tags=first.tags, model_id=first.source.rpartition("/")[2]
    )
    control.promote(
        NAME, second.version, expected=head.version, run="other", verdict_uri=head.verdict_uri,
        who="test", why="better",
    )  # fmt: skip
    registry.follow(control)
    assert main(["rollback", "-p", NAME, "--why", "it was not"]) == 0
    assert f"Airflow: champion({NAME}) emitted" in capsys.readouterr().out
    entry = control.audit(NAME)[-1]
    assert (registry.aliased(), entry.why) == (head.version, "it was not")
    assert airflow.has_event(f"champion({NAME})", f"rollback-{entry.number}")
    assert main(["rollback", "-p", NAME, "--why", "further"]) == 78
    assert "nothing to roll back to" in capsys.readouterr().err
    assert main(["audit", "verify", "-p", NAME]) == 0
    registry.client.delete_model_version(NAME, second.version)


def test_windows_that_the_champion_learned_from_are_not_watched(in_world: Services) -> None:
    assert demo() == 0
    airflow = Airflow(in_world)
    runs = wait_for(lambda: [r for r in airflow.runs(f"{NAME}__monitoring") if r["end_date"]])
    assert {run["state"] for run in runs} == {"success"}
    tasks = airflow.tasks(f"{NAME}__monitoring", runs[0]["dag_run_id"])
    assert {task["state"] for task in tasks} == {"skipped"}


def judged(outcome: str, champion: str) -> str:
    """Give the words with which a model's verdict is told: gates were held against it."""
    if promoted := re.fullmatch(r"promoted version (\d+)", outcome):
        return f"version {promoted[1]} is champion after {champion}"
    assert re.search(r"not promoted: \d+ gates did not pass: \w", outcome), outcome
    return "refused: "


def test_it_goes_on_until_a_policy_asks_for_a_training_and_its_model_is_judged(
    in_world: Services, capsys: pytest.CaptureFixture[str]
) -> None:
    control = Control(in_world.environment.control)
    head = control.champion(NAME)
    assert head is not None
    assert demo(follow=3) == 0
    said = capsys.readouterr().out
    (trigger,) = [t for t in control.triggers(NAME) if t.cause == "monitor"]
    assert (trigger.window, trigger.state, trigger.evidence["policies"]) == (
        "2013-01-01/2013-01-29", "done", ["schedule"],
    )  # fmt: skip
    became = judged(str(trigger.outcome), head.version)
    lines = said.splitlines()
    assert f"{NAME}, 1 weeks" in lines
    (row,) = (one.split("\t") for one in lines if one.startswith("2013-01-29\t"))
    assert row[:3] == ["2013-01-29", "monitor", trigger.evidence["why"]]
    assert 0.5 < float(row[3]) < 1, "its metric when it was judged"
    assert row[4].startswith(became), row
    assert any(re.fullmatch("story [0-9a-f]{64}", one) for one in lines)
    assert "weeks that follow, at the most 1/3" in said
    assert f"2013-01-22/2013-01-29: version {head.version}, roc_auc " in said
    measured = {m.kind for m in control.measures(NAME) if m.start.startswith("2013-01-22")}
    assert measured == {"realised", "estimated"}
    assert len({look.day for look in control.looks(NAME, version=head.version)}) == 7
    airflow = Airflow(in_world)
    (watched,) = airflow.runs(f"{NAME}__monitoring", key="2013-01-22")
    tasks = {
        t["task_id"]: t["state"] for t in airflow.tasks(watched["dag_id"], watched["dag_run_id"])
    }
    assert tasks.pop("announce") == "skipped"
    wanted = ("score", "monitor", "decide", "record", "ask", "tell")
    assert tasks == dict.fromkeys(wanted, "success")

    before = len(airflow.runs(f"{NAME}__training"))
    assert demo(follow=3) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert len(airflow.runs(f"{NAME}__training")) == before


@pytest.fixture(scope="module")
def poor(world: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A champion that knows the distance alone; its version, and that of the one before."""
    folder = tmp_path_factory.mktemp("poor")
    product = yaml.safe_load((Path(world["PERENNIAL_PIPELINES"]) / f"{NAME}.yaml").read_text())
    product["features"] = {"columns": ["distance"]}
    floor = {"name": "floor", "params": {"metric": "roc_auc", "minimum": 0.4}}
    product["evaluation"] |= {"gates": [floor], "baselines": []}
    (folder / f"{NAME}.yaml").write_text(yaml.safe_dump(product))
    with pytest.MonkeyPatch.context() as patch:
        for name, value in world.items():
            patch.setenv(name, value)
        present = Services(Environment()).present
    environment = present.model_copy(update={"pipelines": folder})
    control = Control(environment.control)
    for one in control.triggers(NAME):
        if one.state != DONE:
            # What is swept up later would make another one champion in between.
            control.finish(one.id, "a test that failed had asked")
    before = control.champion(NAME)
    done = runner.run_flow(
        environment, config.load(NAME, folder), "training", run="poor",
        window="2013-01-01/2013-01-29", on_line=print, on_done=print,
    )  # fmt: skip
    assert [one.task for one in done if not one.outcome.succeeded] == []
    after = control.champion(NAME)
    assert before is not None
    assert after is not None
    return after.version, before.version


def test_a_week_that_went_by_in_airflow_is_told_the_same_again(
    in_world: Services, poor: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """One more week comes in and is watched by its DAGs; then the same is read anew."""
    words = ["year", "--pipeline", NAME, "--until", "2013-02-05", "--json"]
    capsys.readouterr()
    assert main([*words, "--airflow"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert len(told["weeks"]) == 5
    assert not in_world.dead()
    (watched,) = Airflow(in_world).runs(f"{NAME}__monitoring", key="2013-01-29")
    assert watched["state"] == "success"
    looks = Control(in_world.environment.control).looks(NAME)
    assert main(words) == 0
    again = json.loads(capsys.readouterr().out)
    assert (again["hash"], len(again["weeks"])) == (told["hash"], 5)
    assert Control(in_world.environment.control).looks(NAME) == looks, "by the runs of the DAG"


def test_a_champion_that_was_worse_in_that_week_has_given_way_and_people_know(
    in_world: Services, poor: tuple[str, str], told: Receiver, mailbox: Mailbox
) -> None:
    version, before = poor
    control, airflow = Control(in_world.environment.control), Airflow(in_world)
    assert control.champion(NAME).version == before  # type: ignore[union-attr]
    assert Registry(in_world.environment, NAME).aliased() == before
    entry = control.audit(NAME)[-1]
    assert (entry.action, entry.detail["window"]) == ("rollback", "2013-01-29/2013-02-05")
    assert f"of version {version} is" in entry.why
    assert airflow.has_event(f"champion({NAME})", f"rollback-{entry.number}")
    (watched,) = airflow.runs(f"{NAME}__monitoring", key="2013-01-29")
    tasks = {
        t["task_id"]: t["state"] for t in airflow.tasks(watched["dag_id"], watched["dag_run_id"])
    }
    assert tasks["announce"] == "success"
    (hook,) = wait_for(lambda: posted(told, "rolled_back"))
    assert entry.why in hook["cause"]
    wait_for(lambda: any(hook["subject"] in one for one in subjects(mailbox)))


def test_down_leaves_nothing(in_world: Services, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["up"]) == 0
    pids = [running.pid for running in in_world.processes.known().values()]
    family = [p for pid in pids for p in [psutil.Process(pid), *psutil.Process(pid).children(True)]]
    assert len(family) > 6
    assert main(["down"]) == 0
    assert "ended: " in capsys.readouterr().out
    assert [p for p in family if p.is_running() and p.status() != psutil.STATUS_ZOMBIE] == []
    assert main(["status"]) == 75
    assert main(["down"]) == 0
    assert "nothing was running" in capsys.readouterr().out
