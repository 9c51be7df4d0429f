"""Who sees which product, by Airflow's own auth manager, users and teams; where links may lead."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from ml_tasks.io import data_docs
from ml_tasks.io.data_docs import DataDocs, Section

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from fastapi.testclient import TestClient

    from ml_tasks.config import Environment

NAME, OTHER = "flight_delays", "arrival_delay"
WINDOW = "2013-01-01/2013-01-08"
SECTION = Section(source="flights", staged=9, good=8, rejected=0, quarantined=1, why=None)


@pytest.fixture
def apart(token: Callable[..., str]) -> Iterator[Callable[..., dict[str, str]]]:
    """Makes logins; one product's DAGs belong to a team, the other's to nobody."""
    from airflow.models.dag import DagModel
    from airflow.models.dagbundle import DagBundleModel
    from airflow.models.team import Team
    from airflow.utils.session import create_session

    owned, theirs = DagBundleModel(name="ours"), DagBundleModel(name="theirs")
    theirs.teams.append(Team(name="theirs"))
    belongs = ((OTHER, "theirs"), ("broken", "theirs"), (NAME, "ours"))
    dags = [DagModel(dag_id=f"{name}__training", bundle_name=to) for name, to in belongs]
    with create_session(scoped=False) as session:
        session.add_all([owned, theirs])
        session.flush()
        session.add_all(dags)
    yield lambda *told: {"Authorization": f"Bearer {token(*told)}"}
    with create_session(scoped=False) as session:
        for table in (DagModel, DagBundleModel, Team):
            session.execute(sa.delete(table))


@pytest.fixture
def told(
    stranger: TestClient, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> TestClient:
    """Before a home in which each product has validated a window."""
    from ml_tasks.context import Context

    monkeypatch.setenv("PERENNIAL_HOME", str(environment.home))
    for pipeline in (NAME, OTHER):
        context = Context(
            task="validate", pipeline=pipeline, run="r", attempt=1, environment=environment
        )
        data_docs.write(DataDocs(pipeline, WINDOW, 0.1, (SECTION,)), context)
    return stranger


def addresses(pipeline: str) -> list[str]:
    """All that names a product."""
    return [
        f"/pipelines/{pipeline}",
        f"/data-docs?pipeline={pipeline}",
        f"/data-docs?pipeline={pipeline}&run=r",
        f"/run?pipeline={pipeline}&run=r",
        f"/mlflow?pipeline={pipeline}&run=r",
    ]


def test_every_page_that_shows_products_is_held_against_rights() -> None:
    from ml_pages.pages import app
    from ml_pages.pipelines import router

    there = {route.path for one in (app, router) for route in one.routes if hasattr(route, "path")}
    open_to_all, elsewhere = {"/openapi.json", "/static/{name}"}, {"/alerts"}
    named = {one.partition("?")[0] for one in addresses("{name}")}
    assert there - open_to_all - elsewhere == {"/pipelines", *named}


def test_who_may_not_read_the_dag_sees_nothing_of_the_product(
    told: TestClient, apart: Callable[..., dict[str, str]]
) -> None:
    for address in addresses(OTHER):
        for login in (apart("viewer"), apart("op"), apart(None)):
            answer = told.get(address, headers=login, follow_redirects=False)
            assert answer.status_code == (404 if "/pipelines/" in address else 403), address
            assert "location" not in answer.headers
            assert "2013" not in answer.text
    said = told.get(f"/run?pipeline={OTHER}&run=r", headers=apart()).text
    assert f"somebody: came no right to read {OTHER}__training in Airflow, wanted it" in said


def test_a_product_that_is_hidden_is_told_of_as_one_that_is_not_there(
    told: TestClient, apart: Callable[..., dict[str, str]]
) -> None:
    for name in (OTHER, "broken"):
        hidden = told.get(f"/pipelines/{name}", headers=apart())
        missing = told.get("/pipelines/none", headers=apart())
        assert hidden.text == missing.text.replace("none", name)
    nobody = told.get(f"/pipelines/{NAME}", headers=apart(None))
    assert "none; you may read no product&#39;s training DAG in Airflow" in nobody.text


def test_lists_leave_out_what_is_denied(
    told: TestClient, apart: Callable[..., dict[str, str]]
) -> None:
    for address in ("/pipelines", "/data-docs"):
        mine = told.get(address, headers=apart("viewer")).text
        assert NAME in mine
        assert OTHER not in mine
        assert "broken" not in mine
        everything = told.get(address, headers=apart("viewer", "theirs")).text
        assert NAME in everything
        assert OTHER in everything
    assert "broken" in told.get("/pipelines", headers=apart("admin")).text
    nothing = told.get("/pipelines", headers=apart(None)).text
    assert "No product is yours to see" in nothing
    assert "There is no product yet" not in nothing


def test_who_is_of_the_team_sees_all_of_the_product(
    told: TestClient, apart: Callable[..., dict[str, str]]
) -> None:
    for address in addresses(OTHER)[:4]:
        answer = told.get(address, headers=apart("viewer", "theirs"), follow_redirects=False)
        assert answer.status_code in (200, 307), address


@pytest.mark.parametrize(
    "hostile",
    ["//evil.example", "https://evil.example", "/\\evil.example", "..", "@evil", "a\r\nX: 1", "%"],
)
def test_links_take_no_name_that_leads_elsewhere(browser: TestClient, hostile: str) -> None:
    for address, others in (
        ("/run", ("pipeline", "run", "flow")),
        ("/mlflow", ("pipeline", "run", "task")),
    ):
        for what in others:
            query = {"pipeline": NAME, "run": "r", what: hostile}
            answer = browser.get(address, params=query, follow_redirects=False)
            assert answer.status_code == 400
            assert f"{what}: came " in answer.text
            assert "location" not in answer.headers


class Recorder(BaseHTTPRequestHandler):
    """An MLflow whose ids want to lead elsewhere."""

    def _answer(self, told: object) -> None:
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(told).encode())

    def do_GET(self) -> None:
        self._answer({"experiment": {"experiment_id": "1/../@evil.example"}})

    def do_POST(self) -> None:
        self._answer({"runs": [{"info": {"run_id": "?x=#//evil.example"}}]})

    def log_message(self, *_told: object) -> None: ...


def test_a_recorded_run_lies_in_the_configured_mlflow_alone(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Recorder)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        address = f"http://127.0.0.1:{server.server_port}"
        monkeypatch.setenv("PERENNIAL_MLFLOW_URL", f"{address}/")
        query = {"pipeline": NAME, "run": "r"}
        answer = browser.get("/mlflow", params=query, follow_redirects=False)
        assert answer.headers["location"] == (
            f"{address}/#/experiments/1%2F..%2F%40evil.example/runs/%3Fx%3D%23%2F%2Fevil.example"
        )
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_without_an_address_nobody_elses_mlflow_is_asked(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PERENNIAL_MLFLOW_URL", raising=False)
    answer = browser.get("/mlflow", params={"pipeline": NAME, "run": "r"})
    assert (answer.status_code, "came no address, wanted it in" in answer.text) == (502, True)
