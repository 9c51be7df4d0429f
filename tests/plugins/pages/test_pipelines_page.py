"""The pages of pipelines: what stands in control is shown, whole, escaped and behind the login."""

from __future__ import annotations

import re
import uuid
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
import sqlalchemy as sa
from ml_pages.glance import Glance
from ml_pages.judged import Bounds

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from fastapi.testclient import TestClient

    from ml_tasks.config import Environment

HOSTILE = "<script>alert(1)</script>"
NAME, OTHER = "flight_delays", "arrival_delay"
FIRST = datetime(2013, 1, 1, tzinfo=UTC)
LEARNED = 10
"""Windows that the first champion learned from."""


def words(page: str) -> str:
    """What a person reads."""
    return " ".join(re.sub(r"<[^>]+>", " ", page).split())


def section(page: str, name: str) -> str:
    return page.partition(f'id="{name}"')[2].partition("</section>")[0]


def test_nobody_sees_anything_without_a_login(stranger: TestClient) -> None:
    for address in (
        "/pipelines", f"/pipelines/{NAME}", "/pipelines/none", "/static/pages.css",
        f"/run?pipeline={NAME}&run=train-1",
    ):  # fmt: skip
        answer = stranger.get(address, follow_redirects=False)
        assert answer.status_code == 401
        assert NAME not in answer.text


def test_all_pipelines_are_seen_at_a_glance_with_what_is_wrong(browser: TestClient) -> None:
    answer = browser.get("/pipelines")
    assert answer.status_code == 200
    policy = answer.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe-inline" not in policy
    page, said = answer.text, words(answer.text)
    order = [f'href="/pipelines/{name}"' for name in ("broken", OTHER, NAME)]
    assert [page.index(link) for link in order] == sorted(page.index(link) for link in order)
    assert "broken YAML does not hold" in said
    assert "schedule: came nothing, wanted a value" in said
    assert "arrival_delay worth a look" in said
    assert "Windows are missing: 2013-01-15 to 01-21." in said
    assert "Run scheduled__x failed at validate on " in said
    assert "mended" not in said
    assert "No champion: ask for a training by the form of arrival_delay__intake." in said
    assert "version 3 since 20" in said
    assert "Newest window 2013-04-30 to 05-06 schedule ended 2013-12-31" in said
    held = r"roc_auc, realised 0\.7\d\d version 3: 0\.\d\d\d (worse|better) than 0\.730 judged"
    assert re.search(held, said)
    assert "Last training 20" in said
    assert 'href="/run?pipeline=flight_delays&amp;run=train-3&amp;flow=training"' in page
    assert HOSTILE not in page
    assert "<script>alert" not in page


@pytest.mark.parametrize(
    ("value", "error", "worse"), [(0.0, 0.0, True), (0.0, None, False), (0.49, 0.02, False)]
)
def test_what_does_not_spread_at_all_is_no_chance(
    value: float, error: float | None, worse: bool
) -> None:
    """A model that says no to everything finds nothing on each day."""
    measure: Any = SimpleNamespace(version="1", value=value, error=error)
    facts: Any = SimpleNamespace(
        head=SimpleNamespace(version="1"),
        pipeline=SimpleNamespace(evaluation=SimpleNamespace(metric="recall")),
    )
    fresh: Any = None
    made = Glance(
        facts=facts, fresh=fresh, references={"1": Bounds(0.5, 0.45, 0.55, 0.02)}, realised=None,
        estimated=None, standing=(), open=(), training=None, troubles=(),
    )  # fmt: skip
    assert made.worse(measure) is worse


def test_a_champion_that_does_badly_says_so(
    browser: TestClient, environment: Environment, fill: Callable[..., Any]
) -> None:
    made = fill(environment, NAME, "roc_auc", 0.73)
    for number in range(LEARNED + 2):
        made.ingested(number)
    made.trained("1", LEARNED)
    made.watched(LEARNED, "1")
    made.watched(LEARNED + 1, "1", drop=0.08, hot=2.5)
    asked, _ = made.control.ask(NAME, "form", "2013-01-01/2013-03-26", who="me", evidence={})
    with made.control.transaction() as tx:
        old = {"created": "2013-04-01T00:00:00.000Z", "id": asked.id}
        tx.execute(sa.text("UPDATE triggers SET created = :created WHERE id = :id"), old)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PERENNIAL_HOME", str(environment.home))
        said = words(browser.get("/pipelines").text)
    assert "1 needs attention" in said
    assert "Realised roc_auc 0.6" in said
    assert "0.730 when version 1 was judged: worse by 0.0" in said
    assert "Alarm on 2013-03-25: ks column_0 moved; may cost 0.004 of roc_auc." in said
    assert f"Trigger {asked.id} (form) has waited" in said


def test_a_pipeline_shows_performance_with_who_took_over(browser: TestClient) -> None:
    page = browser.get(f"/pipelines/{NAME}").text
    shown = section(page, "performance")
    points = re.findall(r'<a class="point" href="([^"]+)"', shown)
    assert points == [
        f"/run?pipeline={NAME}&amp;run=watch-{n}&amp;flow=monitoring" for n in range(LEARNED, 18)
    ]
    assert re.findall(r'<text class="mark-label [^>]*>([^<]+)<', shown) == ["v1", "v3"]
    assert "Version 3 by promote of train-run at 20" in words(shown)
    assert f'2 gates passed <a class="run" href="/run?pipeline={NAME}&amp;run=train-3' in shown
    assert words(shown).count("5,800 of 6,000 watch-") == 8
    assert '<path class="band" d="M' in shown
    assert HOSTILE not in page


def test_a_pipeline_shows_how_each_training_was_judged(browser: TestClient) -> None:
    page = browser.get(f"/pipelines/{NAME}").text
    said = words(section(page, "trainings"))
    assert "3 1.0.0 champion promoted 20" in said
    assert "refused 2013-01-01 to 03-25 69,000 rows 0.730 0.710 to 0.750" in said
    assert "1 of 2 passed: not beats_champion" in said
    assert "beats_champion failed - above 0 0.001 better, 95 % from -0.002 to 0.004" in said
    assert "floor passed 0.700 at least 0.68 measured on 20,000 rows" in said
    assert "0.012" in said
    asked = words(section(page, "triggers"))
    assert "ks column_0 moved &lt;script&gt;alert(1)&lt;/script&gt;" in asked
    assert "gates failed: beats_champion" in asked


def test_a_pipeline_shows_drift_with_its_alarms(browser: TestClient) -> None:
    page = browser.get(f"/pipelines/{NAME}").text
    shown = section(page, "drift")
    assert 'viewBox="0 0 8 6"' in shown
    assert re.search(r'<path class="shade-5" d="M3 \dh1v1h-1z"/>', shown)
    assert shown.count("data-day=") == 8 * 6
    assert 'data-day="2013-04-08" data-value="1.65">160 %<' in shown
    assert "2013-04-08: ks column_0" in shown
    marks = re.findall(r'<a class="point" href="([^"]+)" data-top data-tip="([^\n]+)', shown)
    link = f"/run?pipeline={NAME}&amp;run=watch-13&amp;flow=monitoring"
    assert marks == [(link, "2013-04-02 to 04-08")]
    said = words(section(page, "alarms"))
    assert "2013-04-08 1 paged ks column_0 1.600 0.004 watch-13" in said


def test_segments_and_other_metrics_can_be_chosen(browser: TestClient) -> None:
    page = browser.get(f"/pipelines/{NAME}").text
    assert "carrier=&lt;b&gt;" in section(page, "segments")
    assert "carrier=<b>" not in page
    chosen = browser.get(f"/pipelines/{NAME}", params={"segment": "carrier=UA"})
    assert "roc_auc of carrier=UA, a point a window" in words(chosen.text)
    wrong = browser.get(f"/pipelines/{NAME}", params={"segment": HOSTILE})
    assert wrong.status_code == 400
    assert "wanted one of those measured: carrier=&lt;b&gt;, carrier=UA" in wrong.text
    assert HOSTILE not in wrong.text
    unknown = browser.get(f"/pipelines/{NAME}", params={"metric": "f9"})
    assert unknown.status_code == 400
    assert "metric: came &#39;f9&#39;, wanted one of those measured: roc_auc" in unknown.text


def test_windows_lead_to_their_runs_and_to_what_was_quarantined(browser: TestClient) -> None:
    page = browser.get(f"/pipelines/{NAME}").text
    shown = section(page, "windows")
    assert shown.count("flow=ingestion") == 13
    assert shown.count("flow=monitoring") == 8
    assert "2013-04-30 to 05-06 6,017 6,000 17 6,000 5,800 3" in words(shown)
    link = "/data-docs?pipeline=flight_delays&amp;run=scheduled__2013-04-30T00-00-00"
    assert f'href="{link}"' in shown


def test_the_champion_of_a_window_counts_not_who_predicted_beside_it(
    browser: TestClient,
    environment: Environment,
    fill: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = fill(environment, NAME, "roc_auc", 0.73)
    for number in range(LEARNED + 4):
        made.ingested(number)
    made.trained("1", LEARNED)
    made.watched(LEARNED, "1")
    made.trained("2", LEARNED + 1)
    made.watched(LEARNED + 1, "1", signals=0)
    with made.control.transaction() as tx:
        tx.execute(
            sa.text("DELETE FROM measures WHERE kind = 'estimated' AND start > '2013-03-18'")
        )
    made.watched(LEARNED + 1, "2")
    made.watched(LEARNED + 2, "2")
    seen = made.control.champion(NAME)
    first = next(e for e in made.control.audit(NAME) if e.detail["version"] == "1")
    assert seen is not None
    back = type(seen)(NAME, "1", first.detail["run"], first.detail["verdict"], "")
    made.control.rollback(back, seen=seen, who="me", why="it does harm")
    made.watched(LEARNED + 3, "1")
    monkeypatch.setenv("PERENNIAL_HOME", str(environment.home))
    page = browser.get(f"/pipelines/{NAME}").text
    shown = section(page, "performance")
    marks = re.findall(r'<text class="mark-label ([a-z]+)"[^>]*>([^<]+)<', shown)
    assert marks == [("promote", "v1"), ("promote", "v2"), ("rollback", "back to v1")]
    assert "Version 1 by rollback of me" in words(shown)
    assert "it does harm" in words(shown)
    said = words(section(page, "trainings"))
    assert "back 20" in said
    assert re.search(r"2 1\.0\.0 rolled back 20\d\d-", said)
    assert "not known yet 0.012 55 CPU s" in said
    assert "first champion 0.012 55 CPU s" in said


def test_what_was_realised_is_held_against_what_its_own_version_was_judged_at(
    browser: TestClient,
    environment: Environment,
    fill: Callable[..., Any],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = fill(environment, NAME, "roc_auc", 0.73)
    for number in range(LEARNED + 2):
        made.ingested(number)
    made.trained("1", LEARNED)
    made.watched(LEARNED, "1")
    made.watched(LEARNED + 1, "1")
    made.level = 0.81
    made.trained("2", LEARNED + 2)
    monkeypatch.setenv("PERENNIAL_HOME", str(environment.home))
    everything, page = browser.get("/pipelines").text, browser.get(f"/pipelines/{NAME}").text
    for said in (words(everything), words(page)):
        assert re.search(r"realised 0\.7\d\d version 1: 0\.0\d\d (worse|better) than 0\.730", said)
        assert "waiting" in said
        assert "Version 2 has not seen a window yet; the next is 2013-03-26 to 04-01." in said
        assert "than 0.810" not in said
    shown = section(page, "performance")
    marks = re.findall(r'<text class="mark-label [^>]*x="([^"]+)%"[^>]*>([^<]+)<', shown)
    assert marks == [("0.0", "v1"), ("66.67", "v2")]
    levels = re.findall(r'<line class="judged" x1="([^"]+)%" x2="([^"]+)%" y1="([^"]+)"', shown)
    assert [tuple(map(float, level[:2])) for level in levels] == [(0, 66.67), (66.67, 100)]
    assert float(levels[0][2]) > float(levels[1][2]), "the better one is further up"
    assert "realised roc_auc of version 1 in " in words(section(page, "segments"))
    made.watched(LEARNED + 2, "2")
    assert "has not seen a window" not in words(browser.get("/pipelines").text)
    shown = section(browser.get(f"/pipelines/{NAME}").text, "performance")
    marks = re.findall(r'<text class="mark-label [^>]*x="([^"]+)%"[^>]*>([^<]+)<', shown)
    assert marks == [("0.0", "v1"), ("66.67", "v2")]


def test_where_there_is_nothing_pages_say_what_to_do(empty: TestClient) -> None:
    said = words(empty.get("/pipelines").text)
    assert "No window is in: unpause flight_delays__ingestion, or start a backfill of it." in said
    page = empty.get(f"/pipelines/{NAME}").text
    for name, wanted in (
        ("performance", "It takes a champion: ask for a training by the form of"),
        ("segments", "No segment was measured yet"),
        ("drift", "No day was looked at yet."),
        ("alarms", "nothing was looked at yet"),
        ("trainings", "Nothing was trained yet. Ask by the form of flight_delays__intake"),
        ("triggers", "Nobody has asked for a training."),
        ("windows", "No window is in. Unpause flight_delays__ingestion"),
    ):
        assert wanted in words(section(page, name))


def test_without_products_the_page_says_how_one_is_made(
    empty: TestClient, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path))
    assert "There is no product yet. Write " in words(empty.get("/pipelines").text)


@pytest.mark.parametrize("name", ["none", HOSTILE, "..%2f..%2fetc", "%00"])
def test_an_unknown_pipeline_is_told_the_names_of_the_others(
    browser: TestClient, name: str
) -> None:
    answer = browser.get(f"/pipelines/{name.replace('/', '%2F')}")
    assert answer.status_code == 404
    assert HOSTILE not in answer.text
    if "2F" not in name.upper() and "/" not in name:
        assert f"wanted one of {OTHER}, broken, {NAME}" in words(answer.text)
        assert f'href="/pipelines/{NAME}"' in answer.text


def test_a_product_whose_yaml_is_broken_says_why(browser: TestClient) -> None:
    answer = browser.get("/pipelines/broken")
    assert "YAML does not hold" in words(answer.text)
    assert "schedule: came nothing, wanted a value" in words(answer.text)


def test_objects_that_are_away_leave_the_rest(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_OBJECTS", f"file:///{'x' * 300}")
    page = browser.get(f"/pipelines/{NAME}")
    assert page.status_code == 200
    assert "file:///xxx" in words(section(page.text, "trainings"))
    assert browser.get("/pipelines").status_code == 200


def test_a_database_that_does_not_answer_is_named(
    browser: TestClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PERENNIAL_CONTROL_URL", "postgresql+psycopg://127.0.0.1:1/nowhere")
    for address in ("/pipelines", f"/pipelines/{NAME}"):
        answer = browser.get(address)
        assert answer.status_code == 502
        assert "127.0.0.1:1/nowhere" in answer.text


def test_more_pipelines_are_no_more_queries(
    browser: TestClient, products: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def count(_c: object, _cursor: object, statement: str, *_rest: object) -> None:
        asked.append(statement)

    sa.event.listen(sa.Engine, "before_cursor_execute", count)
    try:
        browser.get("/pipelines")
        two = len(asked)
        for n in range(5):
            text = (products / f"{OTHER}.yaml").read_text()
            (tmp_path / f"other_{n}.yaml").write_text(
                text.replace(f"name: {OTHER}", f"name: other_{n}")
            )
        monkeypatch.setenv("PERENNIAL_PIPELINES", str(tmp_path))
        asked.clear()
        assert browser.get("/pipelines").text.count("<article") == 5
        assert len(asked) == two
    finally:
        sa.event.remove(sa.Engine, "before_cursor_execute", count)


def test_a_run_is_looked_for_in_airflow_and_else_in_mlflow(browser: TestClient) -> None:
    from airflow import settings
    from airflow.models.dagrun import DagRun

    def leads(**query: str) -> str:
        answer = browser.get("/run", params=query, follow_redirects=False)
        assert answer.status_code == 307
        return answer.headers["location"]

    alone = uuid.uuid4().hex  # Airflow's database is that of all tests of this process
    run = f"scheduled__{alone}T00-00-00-00-00"
    assert leads(pipeline=NAME, run=run) == f"/mlflow?pipeline={NAME}&run={run}"
    settings.configure_orm()
    DagRun.metadata.create_all(settings.engine)
    identity = f"scheduled__{alone}T00:00:00+00:00"
    with settings.engine.begin() as tx:
        for dag in (f"{NAME}__ingestion", f"{NAME}__intake", f"{OTHER}__ingestion"):
            values = {
                "dag_id": dag, "run_id": identity, "run_type": "scheduled",
                "run_after": FIRST,
            }  # fmt: skip
            tx.execute(sa.insert(DagRun.__table__).values(values))
    there = f"runs/scheduled__{alone}T00%3A00%3A00%2B00%3A00"
    assert leads(pipeline=NAME, run=run) == f"/dags/{NAME}__ingestion/{there}"
    assert leads(pipeline=OTHER, run=run, flow="ingestion") == f"/dags/{OTHER}__ingestion/{there}"
    assert leads(pipeline=NAME, run=run, flow="training").startswith("/mlflow?")
    assert leads(pipeline=NAME, run=f"scheduled__{alone}").startswith("/mlflow?")


def test_what_pages_are_drawn_with_is_given_out(browser: TestClient) -> None:
    page = browser.get("/pipelines").text
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', page):
        assert browser.get(address).status_code == 200
    assert "http" not in re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL)
    assert browser.get("/static/pages.py").status_code == 404
