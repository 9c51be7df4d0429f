"""What Airflow sees when it reads the DAG files."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from ml_tasks.config import ROOT
from ml_tasks.flow import FLOWS, after

if TYPE_CHECKING:
    from pathlib import Path

PIPELINES = ("arrival_delay", "flight_delays")
READ = """
import json, sys
from airflow.dag_processing.dagbag import DagBag
from airflow.serialization.serialized_objects import DagSerialization
bag = DagBag(sys.argv[1], bundle_name="dags-folder")
heavy = {"torch", "mlflow", "feast", "great_expectations", "alibi_detect", "kubernetes", "duckdb"}
told = {
    "errors": {k: str(v) for k, v in bag.import_errors.items()},
    "heavy": sorted(heavy & set(sys.modules)),
    "dags": {},
}
for name, dag in bag.dags.items():
    DagSerialization.to_dict(dag)
    told["dags"][name] = {
        "doc": dag.doc_md,
        "tags": sorted(dag.tags),
        "end": str(dag.end_date),
        "timetable": type(dag.timetable).__name__,
        "params": dag.params.dump(),
        "described": {k: p.description for k, p in dag.params.items()},
        "tasks": {
            t.task_id: {
                "owner": t.owner,
                "doc": t.doc_md,
                "retries": t.retries,
                "timeout": t.execution_timeout.total_seconds() if t.execution_timeout else None,
                "needs": sorted(t.upstream_task_ids),
                "outlets": [o.name for o in t.outlets],
                "teardown": t.is_teardown,
            }
            for t in dag.tasks
        },
    }
print("TOLD" + json.dumps(told))
"""


def read(home: Path, more: dict[str, str]) -> dict[str, Any]:
    env = {
        **os.environ,  # noqa: TID251 - a child's environment
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "AIRFLOW__CORE__DAGS_FOLDER": str(ROOT / "dags"),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
        **more,
    }
    done = subprocess.run(
        [sys.executable, "-c", READ, str(ROOT / "dags")],
        env=env,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert "TOLD" in done.stdout, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.split("TOLD", 1)[1].splitlines()[0])
    return found


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    return read(tmp_path_factory.mktemp("airflow"), {})


def test_all_are_read_and_nothing_heavy_with_them(told: dict[str, Any]) -> None:
    assert told["errors"] == {}
    assert told["heavy"] == []
    assert sorted(told["dags"]) == [
        f"{pipeline}__{purpose}"
        for pipeline in PIPELINES
        for purpose in ("ingestion", "intake", "monitoring", "training")
    ]


def test_each_says_what_it_is_and_whose(told: dict[str, Any]) -> None:
    for name, dag in told["dags"].items():
        assert len(dag["doc"]) > 80, name
        assert set(name.split("__")) <= set(dag["tags"])
        for task in dag["tasks"].values():
            assert task["owner"] == "flight-operations"
            assert task["doc"]


@pytest.mark.parametrize("flow", FLOWS)
@pytest.mark.parametrize("pipeline", PIPELINES)
def test_the_order_is_the_flows(told: dict[str, Any], flow: str, pipeline: str) -> None:
    tasks = dict(told["dags"][f"{pipeline}__{flow}"]["tasks"])
    if flow == "monitoring":
        assert tasks.pop("ask")["needs"] == tasks.pop("announce")["needs"] == ["decide"]
    steps = FLOWS[flow]  # type: ignore[index]
    assert list(tasks) == [step.task for step in steps]
    for step in steps:
        task = tasks[step.task]
        assert task["needs"] == sorted(after(flow)[step.task])  # type: ignore[arg-type]
        assert task["teardown"] is (step.teardown and not step.unless_skipped)
        assert (task["retries"], task["timeout"]) == (step.retries, 60 * step.timeout_minutes)


def test_events_are_emitted_where_the_work_is_done(told: dict[str, Any]) -> None:
    outlets = {
        f"{name}.{task}": found["outlets"]
        for name, dag in told["dags"].items()
        for task, found in dag["tasks"].items()
        if found["outlets"]
    }
    assert outlets == {
        f"{pipeline}__{where}": [f"{asset}({pipeline})"]
        for pipeline in PIPELINES
        for where, asset in (
            ("ingestion.materialise", "features"),
            ("intake.ask", "training_request"),
            ("monitoring.ask", "training_request"),
            ("monitoring.announce", "champion"),
            ("intake.sweep", "training_request"),
            ("training.promote", "champion"),
        )
    }


def test_schedules(told: dict[str, Any]) -> None:
    dags = told["dags"]
    assert dags["flight_delays__ingestion"]["end"].startswith("2013-12-31")
    assert "Partition" in dags["flight_delays__ingestion"]["timetable"]
    assert "PartitionedAsset" in dags["flight_delays__training"]["timetable"]


def test_the_form_explains_itself(told: dict[str, Any]) -> None:
    intake = told["dags"]["flight_delays__intake"]
    assert set(intake["params"]) == {
        "cause", "window_start", "window_end", "why", "again", "trigger"
    }  # fmt: skip


def test_plugins_load_without_a_fault(tmp_path: Path) -> None:
    script = (
        "from airflow import plugins_manager as m\n"
        "found = m._get_plugins()\n"
        "print('FOUND', [p.name for p in found[0] if p.name == 'perennial'], found[1])\n"
    )
    env = {
        **os.environ,  # noqa: TID251 - a child's environment
        "AIRFLOW_HOME": str(tmp_path),
        "AIRFLOW__CORE__PLUGINS_FOLDER": str(ROOT / "plugins"),
    }
    done = subprocess.run(
        [sys.executable, "-c", script], env=env, capture_output=True, text=True, check=False
    )
    assert "FOUND ['perennial'] {}" in done.stdout, done.stdout + done.stderr


def test_one_bad_product_leaves_the_others_alone(tmp_path: Path) -> None:
    folder = tmp_path / "pipelines"
    shutil.copytree(ROOT / "ml_tasks" / "pipelines", folder)
    (folder / "broken.yaml").write_text("name: broken\ntraining: {sed: 7}\n")
    found = read(tmp_path / "airflow", {"PERENNIAL_PIPELINES": str(folder)})
    assert found["errors"] == {}
    assert "flight_delays__training" in found["dags"]
    assert "broken__training" not in found["dags"]
    assert "training.sed: came an unknown key" in found["dags"]["broken__fault"]["doc"]
    assert found["dags"]["broken__fault"]["tasks"] == {}


def test_a_product_may_ask_by_itself_listen_and_tell(tmp_path: Path) -> None:
    folder = tmp_path / "pipelines"
    folder.mkdir()
    text = (ROOT / "ml_tasks" / "pipelines" / "flight_delays.yaml").read_text()
    asking = text.replace("  start: 2013-01-01", "  start: 2013-01-01\n  training: 0 6 * * 3", 1)
    product = yaml.safe_load(asking)
    product["monitoring"]["retraining"] = {"policies": [{"name": "outside"}]}
    product["alerts"] = [{"kind": "webhook", "url": "http://127.0.0.1:9/"}]
    (folder / "flight_delays.yaml").write_text(yaml.safe_dump(product))
    found = read(tmp_path / "airflow", {"PERENNIAL_PIPELINES": str(folder)})
    intake = found["dags"]["flight_delays__intake"]
    assert intake["timetable"] == "AssetOrTimeSchedule"
    assert intake["end"].startswith("2013-12-31")
    assert (found["errors"], found["heavy"]) == ({}, [])
    assert intake["tasks"]["heed"]["outlets"] == ["training_request(flight_delays)"]
    telling = {name: dag["tasks"].get("tell") for name, dag in found["dags"].items()}
    assert {name for name, task in telling.items() if task} == {
        f"flight_delays__{flow}" for flow in ("intake", "monitoring", "training")
    }
    assert all(task["teardown"] and task["needs"] for task in telling.values() if task)
    assert telling["flight_delays__intake"]["needs"] == ["ask", "heed", "sweep"]
