"""The pages behind Airflow's login, and the links of the tasks' tiles that lead to them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from ml_tasks import config
from ml_tasks.config import ROOT, Environment
from ml_tasks.context import Context
from ml_tasks.flow import step
from ml_tasks.io import data_docs, objects
from ml_tasks.io.data_docs import DataDocs, Section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi.testclient import TestClient

HOSTILE = "<script>alert(1)</script>"
SECTION = Section(source="flights", staged=9, good=8, rejected=0, quarantined=1, why=None)


@pytest.fixture(scope="module", autouse=True)
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Airflow writes its configuration when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        yield


@pytest.fixture
def stranger(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A browser that has not logged in."""
    from fastapi.testclient import TestClient
    from ml_pages.pages import app

    monkeypatch.setenv("PERENNIAL_HOME", str(environment.home))
    return TestClient(app)


@pytest.fixture
def browser(stranger: TestClient, token: Callable[..., str]) -> TestClient:
    """A browser that Airflow knows."""
    stranger.headers["Authorization"] = f"Bearer {token()}"
    return stranger


def written(
    environment: Environment,
    run: str,
    window: str,
    section: Section = SECTION,
    *,
    pipeline: str = "p",
    attempt: int = 1,
) -> None:
    context = Context(
        task="validate", pipeline=pipeline, run=run, attempt=attempt, environment=environment
    )
    data_docs.write(DataDocs(pipeline, window, 0.1, (section,)), context)


def test_nobody_sees_anything_without_a_login(
    stranger: TestClient, environment: Environment
) -> None:
    written(environment, "r", "2013-01-01/2013-01-08")
    for address in ("/data-docs", "/data-docs?pipeline=p", "/data-docs?pipeline=p&run=r"):
        answer = stranger.get(address)
        assert answer.status_code == 401
        assert "2013" not in answer.text


def test_the_newest_attempt_is_shown(browser: TestClient, environment: Environment) -> None:
    for attempt in (2, 10, 9):
        section = replace(SECTION, staged=1000 + attempt)
        written(environment, "r", "2013-01-01/2013-01-08", section, attempt=attempt)
    answer = browser.get("/data-docs?pipeline=p&run=r")
    assert answer.status_code == 200
    assert "1,010" in answer.text
    assert answer.text == objects.read_text(
        f"{environment.objects_root}/runs/p/r/validate/10/data_docs.html"
    )
    assert answer.headers["Content-Security-Policy"].startswith("default-src 'none'")


def test_windows_are_listed_newest_first(browser: TestClient, environment: Environment) -> None:
    written(environment, "b", "2013-01-08/2013-01-15", replace(SECTION, why=HOSTILE))
    written(environment, "a", "2013-01-01/2013-01-08", attempt=1)
    written(environment, "a", "2013-01-01/2013-01-08", attempt=2)
    written(environment, "c", "2013-01-15/2013-01-22", replace(SECTION, good=0))
    written(environment, "d", "2013-02-01/2013-02-02", pipeline="other")
    objects.write_text(f"{environment.objects_root}/runs/p/e/train/1/data_docs.html", "not ours")
    shown = browser.get("/data-docs?pipeline=p").text
    order = ["2013-01-15/", ">nothing new<", "2013-01-08/", ">refused<", "2013-01-01/", ">pub"]
    places = [shown.index(part) for part in order]
    assert places == sorted(places)
    assert shown.count("&amp;run=") == 3
    assert 'href="?pipeline=p&amp;run=a"' in shown
    assert HOSTILE not in shown
    assert "&lt;script&gt;" in shown
    assert "other" not in shown
    everything = browser.get("/data-docs").text
    assert 'href="?pipeline=other&amp;run=d"' in everything
    assert everything.count("&amp;run=") == 4
    assert "http" not in everything


def test_where_there_is_nothing_the_page_says_what_would_write_it(browser: TestClient) -> None:
    missing = browser.get("/data-docs?pipeline=p&run=train-1")
    assert missing.status_code == 404
    assert "Run train-1 of p has no Data Docs: the task validate" in missing.text
    assert "No window was validated yet" in browser.get("/data-docs?pipeline=p").text


@pytest.mark.parametrize("name", ["..", "../r", "a/../b", "a..b", "/etc", ".", HOSTILE, "a\n", "é"])
def test_names_do_not_lead_out_of_the_runs(
    browser: TestClient, environment: Environment, name: str
) -> None:
    written(environment, "r", "2013-01-01/2013-01-08")
    for query in ({"pipeline": name, "run": "r"}, {"pipeline": "p", "run": name}):
        answer = browser.get("/data-docs", params=query)
        assert answer.status_code == 400
        assert "wanted letters, digits" in answer.text
        assert HOSTILE not in answer.text
    assert browser.get("/data-docs?run=r").status_code == 400


def test_a_store_that_does_not_answer_is_named(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = f"file:///{'x' * 300}"
    monkeypatch.setenv("PERENNIAL_OBJECTS", root)
    answer = browser.get("/data-docs?pipeline=p")
    assert answer.status_code == 502
    assert f"{root}/runs/p: cannot be listed" in answer.text


def test_only_validate_leads_to_data_docs(
    browser: TestClient, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    from airflow import plugins_manager
    from airflow.models.taskinstancekey import TaskInstanceKey
    from airflow.sdk import DAG
    from airflow.serialization.serialized_objects import DagSerialization
    from ml_launch.operators import LaunchOperator

    import plugins.perennial_plugin as registered

    links = registered.PerennialPlugin.operator_extra_links
    monkeypatch.setattr(plugins_manager, "get_operator_extra_links", lambda: links)
    pipeline = config.load("flight_delays", ROOT / "ml_tasks" / "pipelines")
    with DAG("p__ingestion", schedule=None) as dag:
        for task in ("ingest", "validate"):
            LaunchOperator(pipeline=pipeline, step=step(task))
    seen = DagSerialization.from_dict(DagSerialization.to_dict(dag)).task_dict
    shown = {}
    for name, task in seen.items():
        key = TaskInstanceKey("p__ingestion", name, "manual__2013-01-01T00:00:00+00:00")
        found = {link.name: link.get_link(task, ti_key=key) for link in task.operator_extra_links}
        shown[name] = {label: link for label, link in found.items() if link}
    # A task that had links of its own would push each of them when it ends.
    assert all(not task.operator_extra_links for task in dag.tasks)
    assert set(shown["ingest"]) == {"MLflow run"}
    assert set(shown["validate"]) == {"MLflow run", "Data Docs"}
    written(environment, "manual__2013-01-01T00-00-00-00-00", "2013-01-01/2013-01-08")
    link = shown["validate"]["Data Docs"]
    assert browser.get(link.removeprefix("/perennial")).status_code == 200


def test_the_plugin_registers_page_and_links() -> None:
    from airflow.plugins_manager import AirflowPlugin
    from fastapi import testclient
    from ml_pages.pages import app

    import plugins.perennial_plugin as registered

    plugin = registered.PerennialPlugin
    assert issubclass(plugin, AirflowPlugin)
    mounted = testclient.TestClient(plugin.fastapi_apps[0]["app"])
    assert mounted.get("/data-docs").status_code == 401
    routes = {f"/perennial{route.path}" for route in app.routes if hasattr(route, "path")}
    assert {view["href"] for view in plugin.external_views} <= routes
    assert {link.name for link in plugin.operator_extra_links} == {"MLflow run", "Data Docs"}
