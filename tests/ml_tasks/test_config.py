from __future__ import annotations

import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import yaml
from pydantic import ValidationError

from ml_tasks import config, ingest
from ml_tasks.config import ROOT, Environment, Source, TaskResources, nodes
from ml_tasks.errors import ConfigError

FLIGHTS = ROOT / "ml_tasks" / "pipelines" / "flight_delays.yaml"


def test_the_example_reads() -> None:
    pipeline = config.load("flight_delays", FLIGHTS.parent)
    assert pipeline.label.source == "flights"
    assert pipeline.resources_of("train").memory_gb == 6
    assert pipeline.resources_of("ingest").memory_gb == 3
    named = TaskResources(timeout_minutes=600)
    own = pipeline.model_copy(update={"resources": {**pipeline.resources, "derive": named}})
    assert own.resources_of("derive") == TaskResources(cpus=1, memory_gb=3, timeout_minutes=600)
    assert [p.name for p in config.load_all(FLIGHTS.parent)] == ["arrival_delay", "flight_delays"]


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (
            ("training", "epoch"),
            3,
            "training.epoch: came an unknown key, wanted a key of .*such as 'epochs'",
        ),
        (("training", "epochs"), "many", "training.epochs: came 'many', wanted a whole number$"),
        (("training", "class_weights"), "so", "class_weights: came 'so', wanted true or false$"),
        (("training", "learning_rate"), [], r"learning_rate: came \[\], wanted a number$"),
        (
            ("schedule", "start"),
            "0001-01-01",
            "start: came 0001-01-01, wanted a day of the years 1900 to 2199",
        ),
        (("schedule", "end"), "2012-12-31", "schedule.end: came 2012-12-31, wanted a day not"),
        (("schedule", "end"), "9999-12-31", "end: came 9999-12-31, wanted a day of the years 1900"),
        (("schedule", "start"), "soon", "start: came 'soon', wanted a day such as 2013-01-31$"),
        (("sources", "weather", "kinds"), 1, "weather.kinds: came an unknown .* such as 'kind'$"),
        (("evaluation", "gates", 0, "parms"), {}, "parms: came an unknown .* such as 'params'$"),
        (("evaluation", "gates"), "all", "evaluation.gates: came 'all', wanted a list$"),
        (("label", "task"), "guess", "came 'guess', wanted 'classification' or 'regression'$"),
        (("training",), "fast", "training: came 'fast', wanted a mapping$"),
        (("training", "epochs"), 0, "training.epochs: came 0, wanted a number greater than 0$"),
        (("evaluation", "gates"), [], "evaluation.gates: came .., wanted at least 1 of them"),
        (("label", "source"), "trains", r"\(whole file\): label.source is 'trains', wanted \["),
        (("validation", "expectations"), {"x": []}, r"validation.expectations name \['x'\]"),
        (
            ("schedule", "cron"),
            "weekly",
            "schedule.cron: came 'weekly', wanted five fields of cron",
        ),
        (
            ("schedule", "cron"),
            "0 * * * *",
            "schedule: came a section of cron, .*, wanted a cron whose",
        ),
        (
            ("schedule", "start"),
            "2013-01-02",
            "a start at which '0 0 . . 2' fires, such as 2013-01-01",
        ),
        (("schedule", "training"), "often", "schedule.training: came 'often', wanted five fields"),
        (("alerts",), [3], "alerts.0: came 3, wanted a mapping$"),
        (
            ("alerts",),
            [{"kind": "email", "to": ["a@b.example"], "on": ["faild"]}],
            "^[^\n]*alerts.0.email.on.0: came 'faild', wanted 'failed', [^\n]*$",
        ),
        (
            ("training", True),
            1,
            "training: came the key true, wanted a text: YAML reads on, yes and true as true",
        ),
        (("resources", False), {}, "resources: came the key false, wanted a text: .* off, no and"),
        (("training", 3), 1, "training: came the key 3, wanted a text: put it in quotes$"),
        (("name",), "other", "name: came 'other', wanted the file's name"),
        (
            ("name",),
            "No Slug",
            "name: came 'No Slug', wanted lower case letters, digits and _, two",
        ),
        (("features",), {}, "features: came {}, wanted a service, columns, or both"),
        (("features",), {"columns": ["dest"], "keys": {"x": "1"}}, "no keys: without a service"),
        (("features", "columns"), ["landed_at"], r"name \['landed_at'\], wanted numbers, texts"),
        (("sources", "weather", "columns", "known_at"), "timestamp", "names than .'known_at'"),
        (("sources", "weather", "columns", "event_time"), "int64", "names than .'event_time'"),
        (("sources", "flights", "key"), ["split"], r"key, event_time or known_at name \['split'\]"),
        (("sources", "weather", "event_time"), "nope", r"name \['nope'\], wanted declared"),
        (
            ("sources", "weather", "columns", "observed_at"),
            "timestamp?",
            "column 'observed_at' is timestamp\\?, wanted timestamp: key and event_time",
        ),
        (
            ("sources", "flights", "key"),
            ["carrier", "tailnum"],
            "column 'tailnum' is string\\?, wanted string: key and event_time",
        ),
        (("sources", "weather", "event_time"), "temp", "'temp' is float64\\?, wanted timestamp"),
    ],
)
def test_faults_name_file_key_came_wanted(
    path: tuple[object, ...], value: object, message: str
) -> None:
    content = yaml.safe_load(FLIGHTS.read_text())
    section = content
    for key in path[:-1]:
        section = section[key]
    section[path[-1]] = value
    with pytest.raises(ConfigError, match=message) as caught:
        config.parse(yaml.safe_dump(content), FLIGHTS)
    assert str(caught.value).startswith(str(FLIGHTS))


@pytest.mark.parametrize(
    ("part", "told"),
    [
        ({"columns": {"id": "int64", "at": "timestamp", "X": "int64", "x": "int64"}},
         r"names that differ in more than case, which SQL does not see; came \['X', 'x'\]"),
        ({"key": ("id", "id")}, r"key \['id', 'id'\], wanted each column once"),
    ],
)  # fmt: skip
def test_names_of_a_source_are_told_apart(part: dict[str, Any], told: str) -> None:
    given = {
        "kind": "csv", "key": ("id",), "event_time": "at", "known_at": ("at",),
        "columns": {"id": "int64", "at": "timestamp"},
    }  # fmt: skip
    assert Source(**given)
    with pytest.raises(ValidationError, match=told):
        Source(**(given | part))


def test_columns_that_the_set_has_of_its_own_are_no_features() -> None:
    content = yaml.safe_load(FLIGHTS.read_text())
    content["sources"]["flights"]["columns"]["split"] = "string"
    content["features"]["columns"].append("split")
    with pytest.raises(ConfigError, match=r"columns or key name \['split'\], which the set has"):
        config.parse(yaml.safe_dump(content), FLIGHTS)


def test_a_sources_event_time_may_bear_that_name() -> None:
    content = yaml.safe_load(FLIGHTS.read_text().replace("observed_at", "event_time"))
    source = config.parse(yaml.safe_dump(content), FLIGHTS).sources["weather"]
    assert ingest.raw_schema(source).names.count("event_time") == 1


def test_a_missing_key_is_named() -> None:
    content = yaml.safe_load(FLIGHTS.read_text())
    del content["label"]
    with pytest.raises(ConfigError, match="label: came nothing, wanted a value"):
        config.parse(yaml.safe_dump(content), FLIGHTS)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [", "not YAML"),
        ("- 1", "came list, wanted a mapping"),
        ("# nothing", "x.yaml: came an empty file, wanted a mapping"),
        (
            "schedule:\n  start: 2013-01-32",
            r"x.yaml: schedule.start: line 2: came '2013-01-32', wanted a day such as 2013-01-31",
        ),
        ("a: [0, 0x_]", "x.yaml: a.1: line 1: came '0x_', wanted a number, or a text in quotes"),
        (
            "split: {}\na:\n  b: 1\n  b: 2\nsplit: {}",
            "x.yaml: split: came twice, in line 1 and in line 5, wanted once: .*\n"
            "x.yaml: a.b: came twice, in line 3 and in line 4, wanted once",
        ),
        ("on: 1\ntrue: 2", "x.yaml: true: came twice"),
        ("a: &a [*a]", "came an unknown key"),
    ],
)
def test_what_is_no_mapping(text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        config.parse(text, Path("x.yaml"))


def test_what_is_merged_may_be_said_anew() -> None:
    said = nodes.values("a: &a {x: 1, y: 1}\nb: {c: &c {<<: *a, x: 2}}\nd: {<<: *c, x: 3}")
    assert said["b"]["c"] == {"x": 2, "y": 1}
    assert said["d"] == {"x": 3, "y": 1}


def test_an_unknown_pipeline_names_those_there_are(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("")
    with pytest.raises(ConfigError, match=r"pipeline 'b': no file .*wanted one of \['a'\]"):
        config.load("b", tmp_path)


def test_what_is_known_is_a_column_and_no_time_from_which_more_is() -> None:
    told = yaml.safe_load(FLIGHTS.read_text())
    for known, said in (
        (["nowhere"], "features.known name ['nowhere'], wanted some of"),
        (["landed_at"], "features.known name ['landed_at'], from which on"),
    ):
        told["features"]["known"] = known
        with pytest.raises(ValidationError, match=re.escape(said)):
            config.Pipeline.model_validate(told)
    told["features"]["known"] = ["scheduled_departure", "air_time"]
    assert config.Pipeline.model_validate(told).features.known


def test_embedded_addresses_lie_under_home(tmp_path: Path) -> None:
    environment = Environment(home=tmp_path)
    assert environment.control == f"sqlite:///{tmp_path}/control.db"
    assert environment.catalog == f"sqlite:///{tmp_path}/catalog.db"
    for root in (environment.objects_root, environment.warehouse_root, environment.landing_root):
        assert root.startswith(tmp_path.as_uri())


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ("file:///a b/é/o", "file:///a%20b/%C3%A9/o"),
        ("file:///a%20b/o/", "file:///a%20b/o"),
        ("file:///a//b/./c/../o", "file:///a/b/o"),
        ("file:/a/o", "file:///a/o"),
        ("s3://bucket//a/o/", "s3://bucket/a/o"),
        ("s3://bucket/", "s3://bucket"),
    ],
)
def test_an_address_has_one_form(given: str, kept: str) -> None:
    environment = Environment(objects=given, landing=given)
    assert environment.objects_root == environment.landing_root == kept
    if given.startswith("file:"):
        assert Path(unquote(urlsplit(kept).path)).as_uri() == kept


def test_the_warehouse_is_named_as_iceberg_reads_it() -> None:
    assert Environment(warehouse="file:///a%20b//w/").warehouse_root == "file:///a b/w"
    assert Environment(home=Path("/a b")).warehouse_root == "file:///a b/warehouse"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"objects": "/a/o"}, "file:///… or s3://bucket/…"),
        ({"landing": "file://host/o"}, "a path from the root"),
        ({"objects": "file:///a?b"}, "as %3F and %23"),
        ({"objects": "s3:///o"}, "file:///… or s3://bucket/…"),
        ({"warehouse": "file:///a%23b"}, "a path without #"),
        ({"home": "/a%b"}, "a path without %"),
    ],
)
def test_an_address_that_leads_elsewhere_is_refused(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(told)):
        Environment(**given)


@pytest.mark.parametrize("made", ["control.db", "environment.json"])
def test_a_home_that_was_made_before_goes_on_whatever_its_path(made: str, tmp_path: Path) -> None:
    home = tmp_path / "a#b"
    with pytest.raises(ValidationError, match="a path without #"):
        Environment(home=home)
    home.mkdir()
    (home / made).touch()
    assert Environment(home=home).warehouse_root == (home / "warehouse").as_uri()


def test_a_home_that_cannot_be_looked_at_is_nobodys_fault_yet(tmp_path: Path) -> None:
    """Whoever opens it says what is wrong."""
    assert Environment(home=tmp_path / ("n" * 300)).home.parent == tmp_path


def test_pods_want_servers() -> None:
    with pytest.raises(ConfigError, match="pods reach neither SQLite nor file"):
        Environment(launcher="kubernetes")


def test_servers_want_addresses() -> None:
    environment = Environment(profile="servers", objects="s3://a", redis_url="redis://b")
    assert environment.objects_root == "s3://a"
    with pytest.raises(ConfigError, match=r"_WAREHOUSE, PERENNIAL_CONTROL_URL, .*empty"):
        _ = environment.control


def test_a_copy_with_other_addresses_has_them(tmp_path: Path) -> None:
    first = Environment(home=tmp_path)
    assert first.control == f"sqlite:///{tmp_path}/control.db"
    assert first.model_copy(update={"control_url": "sqlite:///other"}).control == "sqlite:///other"


def test_variables_make_the_same_environment_again(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ENDPOINT_URL", "AWS_SESSION_TOKEN"):
        monkeypatch.delenv(name, raising=False)
    given = Environment(
        profile="servers",
        control_url="postgresql://me:word@db/control",
        redis_url="redis://:word@cache:6379/0",
        s3_endpoint="http://s3:7070",
        aws_access_key_id="id",
        aws_secret_access_key="word",  # noqa: S106 - nobody's
        aws_region="eu-west-1",
    )
    plain, secret = given.plain_variables(), given.secret_variables()
    assert not any("word" in value for value in plain.values())
    assert plain["AWS_ENDPOINT_URL"] == plain["PERENNIAL_S3_ENDPOINT"] == "http://s3:7070"
    assert sorted(secret) == [
        "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "PERENNIAL_CONTROL_URL", "PERENNIAL_REDIS_URL"
    ]  # fmt: skip
    assert given.variables() == plain | secret
    for name, value in given.variables().items():
        monkeypatch.setenv(name, value)
    assert Environment() == given


def test_a_wrong_variable_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PERENNIAL_PROFILE", "cloud")
    with pytest.raises(ValidationError, match="profile"):
        Environment()


def test_a_folder_that_is_not_there_is_named_and_a_folder_is_no_pipeline(tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    assert config.names(tmp_path) == []
    missing = tmp_path / "mistyped"
    assert config.load_good(missing) == ((), {})
    for read in (config.names, config.load_all, lambda at: config.load("a", at)):
        with pytest.raises(ConfigError, match=r"mistyped, wanted one with <name>\.yaml"):
            read(missing)
