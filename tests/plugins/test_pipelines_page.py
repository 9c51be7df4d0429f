"""The pages of pipelines: what stands in control is shown, whole, escaped and behind the login."""

from __future__ import annotations

import json
import math
import re
import shutil
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
import sqlalchemy as sa

from ml_tasks.config import ROOT, Environment
from ml_tasks.io import objects
from ml_tasks.io.control import Control
from ml_tasks.io.costs import Cost
from ml_tasks.io.watched import Alarm, Look, Measure
from ml_tasks.result import Output, Result, Window

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from fastapi.testclient import TestClient

HOSTILE = "<script>alert(1)</script>"
NAME, OTHER = "flight_delays", "arrival_delay"
FIRST = datetime(2013, 1, 1, tzinfo=UTC)
LEARNED = 10
"""Windows that the first champion learned from."""


def week(number: int) -> Window:
    return Window(start=FIRST + timedelta(weeks=number), end=FIRST + timedelta(weeks=number + 1))


def wave(*numbers: float) -> float:
    """A number between -1 and 1 that looks like chance and is always the same."""
    return math.sin(43.7 * sum((n + 1) * 12.9898 * 6.02**k for k, n in enumerate(numbers)))


class Filled:
    """A control database and objects as real runs of two years leave them."""

    def __init__(self, environment: Environment, name: str, metric: str, level: float) -> None:
        self.environment, self.name, self.metric, self.level = environment, name, metric, level
        self.control = Control(environment.control)
        self.control.migrate()

    def ingested(self, number: int, quarantined: int = 0) -> None:
        window, run = week(number), f"scheduled__{week(number).start:%Y-%m-%dT%H-%M-%S}"
        with self.control.lease(f"{self.name} {number}", holder=run, attempt=1) as lease:
            start, end = window.start.isoformat(), window.end.isoformat()
            self.control.complete(self.name, start, end, run, lease)
        counts = {"staged": 6000 + quarantined, "published": 6000, "quarantined": quarantined}
        folder = f"{self.environment.objects_root}/runs/{self.name}/{run}/validate/1"
        objects.write_text(f"{folder}/data_docs.json", json.dumps({"counts": counts}))

    def trained(
        self, version: str, until: int, *, passed: bool = True, cause: str = "form", why: str = ""
    ) -> str:
        """A training: its trigger, what its tasks left, its promotion."""
        window = Window(start=FIRST, end=week(until).start)
        run = f"train-{version}"
        asked, _ = self.control.ask(
            self.name, cause, str(window), who="somebody", evidence={"why": why}, replay=version
        )
        self.control.claim(asked.id, run)
        where = f"{self.environment.objects_root}/runs/{self.name}/{run}"
        bounds = {"value": self.level, "low": self.level - 0.02, "high": self.level + 0.02}
        told = {
            "metrics": {self.metric: {**bounds, "error": 0.01, "bias": "NaN"}},
            "segments": [
                {"name": "carrier=UA", "rows": 900, "days": 7.0, "metrics": {self.metric: bounds}}
            ],
        }
        objects.write_text(f"{where}/evaluate/1/evaluation.json", json.dumps(told))
        gates = [
            {"gate": "floor", "passed": True, "measured": 0.7, "threshold": "at least 0.68",
             "interval": None, "evidence": why or "measured on 20,000 rows"},
            {"gate": "beats_champion", "passed": passed, "measured": None, "threshold": "above 0",
             "interval": None, "evidence": "0.001 better, 95 % from -0.002 to 0.004"},
        ]  # fmt: skip
        left = {
            "assemble": {"rows": {"train": 40000, "validation": 9000, "test": 20000}},
            "evaluate": {"champion": None},
            "judge": {"passed": passed, "gates": gates},
            **({"register": {"version": version, "semantic_version": "1.0.0"}} if passed else {}),
        }
        for number, (task, values) in enumerate(left.items()):
            uri = f"{where}/{task}/1/result.json"
            measured = Output(uri=f"{where}/evaluate/1/evaluation.json", content_hash="0")
            result = Result(
                task=task, pipeline=self.name, run=run, values=values,
                outputs={"evaluation": measured} if task == "evaluate" else {},
                window=window, started=FIRST + timedelta(minutes=number),
            )  # fmt: skip
            objects.write_result(uri, result)
        if passed:
            head = self.control.champion(self.name)
            self.control.promote(
                self.name, version, expected=None if head is None else head.version, run=run,
                verdict_uri=f"{where}/judge/1/verdict.json", who="train-run", why="2 gates passed",
            )  # fmt: skip
        said = f"promoted version {version}" if passed else "gates failed: beats_champion"
        self.control.finish(asked.id, said)
        self.charged(run, "train", "done", datetime.now(UTC))
        return run

    def charged(self, run: str, task: str, state: str, at: datetime, attempt: int = 1) -> None:
        self.control.charge([
            Cost(
                pipeline=self.name, run=run, task=task, attempt=attempt,
                at=f"{at:%Y-%m-%dT%H:%M:%SZ}", state=state, pods=1, cpus=1, memory_gb=3, gpus=0,
                node_type="", spot=False, wall_seconds=60, pod_seconds=60, cpu_seconds=55,
                gpu_seconds=0, peak_memory_mb=900, amount=0.012, currency="XXX",
            )
        ])  # fmt: skip

    def watched(
        self, number: int, version: str, *, drop: float = 0.0, signals: int = 6, hot: float = 0.0
    ) -> None:
        """A window as the task `monitor` leaves it; `hot` is the first signal's last share."""
        window, run = week(number), f"watch-{number}"
        found: list[Measure | Look | Alarm] = []
        for kind in ("realised", "estimated"):
            for segment in ("", "carrier=UA", "carrier=<b>") if kind == "realised" else ("",):
                value = self.level - drop + 0.012 * wave(number, len(segment), len(kind))
                found.append(
                    Measure(
                        pipeline=self.name, version=version, start=window.start.isoformat(),
                        end=window.end.isoformat(), kind=kind, metric=self.metric,
                        segment=segment, value=value, low=value - 0.02, high=value + 0.02,
                        error=0.01, rows=5800, predicted=6000, known=window.end.isoformat(),
                        run=run,
                    )
                )  # fmt: skip
        for day in range(7):
            at = f"{window.start + timedelta(days=day):%Y-%m-%d}"
            for signal in range(signals):
                share = 0.004 * (1 + wave(number, day, signal)) * (1 + signal % 5)
                if signal == 0 and hot:
                    share = hot * (day + 1) / 7
                found.append(
                    Look(
                        pipeline=self.name, version=version, day=at, signal=f"ks column_{signal}",
                        value=0.05 + share, p_value=0.2, cost=0.001, rows=850, run=run,
                        share=share,
                    )
                )  # fmt: skip
            if hot >= 1 and day == 6:
                moved = [{"name": "ks column_0", "share": hot, "cost": 0.004}]
                found.append(
                    Alarm(
                        pipeline=self.name, version=version, day=at, of="inputs", level=hot,
                        paged=True, loss=0.004, signals=moved, run=run,
                    )
                )  # fmt: skip
        with self.control.lease(f"watched {self.name}", holder=run, attempt=1) as lease:
            self.control.watch(self.name, found, lease)


def filled(environment: Environment, *, windows: int = 18, signals: int = 6) -> Filled:
    """Windows of a product with two champions and a refused training between them."""
    made = Filled(environment, NAME, "roc_auc", 0.73)
    for number in range(windows):
        made.ingested(number, quarantined=17 if number % 9 == 8 else 0)
    made.trained("1", LEARNED)
    half = (LEARNED + windows) // 2
    for number in range(LEARNED, half):
        late = number >= half - 3
        hot = 1.6 if number == half - 1 else 0.4 if late else 0.0
        made.watched(number, "1", drop=0.03 * late, signals=signals, hot=hot)
    made.trained("2", half - 2, passed=False, cause="schedule")
    made.trained("3", half, cause="monitor", why=f"ks column_0 moved {HOSTILE}")
    for number in range(half, windows):
        made.watched(number, "3", signals=signals)
    return made


@pytest.fixture(scope="module", autouse=True)
def airflow_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Airflow writes its configuration when it is imported."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("AIRFLOW_HOME", str(tmp_path_factory.mktemp("airflow")))
        yield


@pytest.fixture(scope="module")
def products(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("products")
    for name in (NAME, OTHER):
        shutil.copy(ROOT / "ml_tasks" / "pipelines" / f"{name}.yaml", folder)
    (folder / "broken.yaml").write_text(f"name: broken\ndescription: '{HOSTILE}'\nowner: me\n")
    return folder


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Filled:
    """What two products have left; nobody changes it."""
    environment = Environment(home=tmp_path_factory.mktemp("home"))
    made = filled(environment)
    other = Filled(environment, OTHER, "mae", 14.0)
    for number in (0, 1, 3):
        other.ingested(number)
    other.charged("scheduled__x", "validate", "failed", datetime.now(UTC))
    other.charged("mended", "validate", "failed", datetime.now(UTC))
    other.charged("mended", "validate", "done", datetime.now(UTC), attempt=2)
    return made


@pytest.fixture
def stranger(home: Filled, products: Path, monkeypatch: pytest.MonkeyPatch) -> TestClient:
    """A browser that has not logged in."""
    from fastapi.testclient import TestClient
    from ml_pages.pages import app

    monkeypatch.setenv("PERENNIAL_HOME", str(home.environment.home))
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(products))
    return TestClient(app)


@pytest.fixture
def browser(stranger: TestClient) -> Iterator[TestClient]:
    """A browser that Airflow knows."""
    from airflow.api_fastapi.core_api.security import get_user
    from ml_pages.pages import app

    app.dependency_overrides[get_user] = lambda: "somebody"
    yield stranger
    app.dependency_overrides.clear()


@pytest.fixture
def empty(
    browser: TestClient, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> TestClient:
    """A browser before a home in which nothing has happened."""
    monkeypatch.setenv("PERENNIAL_HOME", str(environment.home))
    return browser


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
    assert re.search(r"roc_auc, realised 0\.7\d\d 0\.\d\d\d (worse|better) than 0\.730", said)
    assert "Last training 20" in said
    assert 'href="/run?pipeline=flight_delays&amp;run=train-3&amp;flow=training"' in page
    assert HOSTILE not in page
    assert "<script>alert" not in page


def test_a_champion_that_does_badly_says_so(browser: TestClient, environment: Environment) -> None:
    made = Filled(environment, NAME, "roc_auc", 0.73)
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
    assert "0.730 when the champion was judged: worse by 0.0" in said
    assert "Alarm on 2013-03-25: ks column_0 moved; costs 0.004 of roc_auc." in said
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
    browser: TestClient, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = Filled(environment, NAME, "roc_auc", 0.73)
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
    assert "back 20" in words(section(page, "trainings"))


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
    monkeypatch.setenv("PERENNIAL_OBJECTS", "ftp://nowhere")
    page = browser.get(f"/pipelines/{NAME}")
    assert page.status_code == 200
    assert "ftp://nowhere" in words(section(page.text, "trainings"))
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

    run = "scheduled__2013-01-08T00-00-00-00-00"
    assert leads(pipeline=NAME, run=run) == f"/mlflow?pipeline={NAME}&run={run}"
    settings.configure_orm()
    DagRun.metadata.create_all(settings.engine)
    identity = "scheduled__2013-01-08T00:00:00+00:00"
    with settings.engine.begin() as tx:
        for dag in (f"{NAME}__ingestion", f"{NAME}__intake", f"{OTHER}__ingestion"):
            values = {
                "dag_id": dag, "run_id": identity, "run_type": "scheduled",
                "run_after": FIRST,
            }  # fmt: skip
            tx.execute(sa.insert(DagRun.__table__).values(values))
    there = "runs/scheduled__2013-01-08T00%3A00%3A00%2B00%3A00"
    assert leads(pipeline=NAME, run=run) == f"/dags/{NAME}__ingestion/{there}"
    assert leads(pipeline=OTHER, run=run, flow="ingestion") == f"/dags/{OTHER}__ingestion/{there}"
    assert leads(pipeline=NAME, run=run, flow="training").startswith("/mlflow?")
    assert leads(pipeline=NAME, run="scheduled__2013-01-08").startswith("/mlflow?")


def test_what_pages_are_drawn_with_is_given_out(browser: TestClient) -> None:
    page = browser.get("/pipelines").text
    for address in re.findall(r'(?:href|src)="(/static/[^"]+)"', page):
        assert browser.get(address).status_code == 200
    assert "http" not in re.sub(r"<pre.*?</pre>", "", page, flags=re.DOTALL)
    assert browser.get("/static/pages.py").status_code == 404
