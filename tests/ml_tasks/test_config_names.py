"""Names that no column of a source, or of a training set, may have."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from ml_tasks import config
from ml_tasks.config import ROOT
from ml_tasks.errors import ConfigError

FLIGHTS = ROOT / "ml_tasks" / "pipelines" / "flight_delays.yaml"


@pytest.fixture
def content() -> dict[str, Any]:
    told: dict[str, Any] = yaml.safe_load(FLIGHTS.read_text())
    return told


@pytest.mark.parametrize("name", ["*", "^.*$", "^$", "a\0", "\tb", "a\nb", "\x7f", "a\x85"])
def test_no_column_is_called_what_is_read_as_a_pattern(name: str, content: dict[str, Any]) -> None:
    content["sources"]["weather"]["columns"][name] = "string"
    with pytest.raises(ConfigError) as caught:
        config.parse(yaml.safe_dump(content), FLIGHTS)
    said = str(caught.value)
    assert f"{FLIGHTS}: sources.weather.columns: came {[name]}, wanted names without" in said
    assert said.endswith("rename the columns in the data")


@pytest.mark.parametrize("name", ["a*", "**", "^a", "a$", " * ", "größe ✓", "a.b"])
def test_other_names_are_names(name: str, content: dict[str, Any]) -> None:
    content["sources"]["weather"]["columns"][name] = "string"
    assert name in config.parse(yaml.safe_dump(content), FLIGHTS).sources["weather"].columns


@pytest.mark.parametrize("names", [("ä", "Ä"), ("ß", "ss")])
def test_names_that_sql_tells_apart_are_two(
    names: tuple[str, str], content: dict[str, Any]
) -> None:
    content["sources"]["weather"]["columns"] |= dict.fromkeys(names, "string")
    assert {*names} <= {*config.parse(yaml.safe_dump(content), FLIGHTS).sources["weather"].columns}


def test_no_feature_is_called_as_the_set_calls_a_segment(content: dict[str, Any]) -> None:
    content["sources"]["flights"]["columns"]["segment_far"] = "string"
    content["features"]["columns"].append("segment_far")
    content["evaluation"]["segments"] = {"far": "distance > 1000"}
    with pytest.raises(ConfigError) as caught:
        config.parse(yaml.safe_dump(content), FLIGHTS)
    assert "features.columns or key name ['segment_far'], wanted other names than" in str(
        caught.value
    )
    content["evaluation"]["segments"] = {"further": "distance > 1000"}
    assert config.parse(yaml.safe_dump(content), FLIGHTS).evaluation.segments


def test_no_key_is_called_as_the_set_calls_a_segment(content: dict[str, Any]) -> None:
    content["sources"]["flights"]["columns"]["segment_far"] = "string"
    content["sources"]["flights"]["key"].append("segment_far")
    content["evaluation"]["segments"] = {"far": "distance > 1000"}
    with pytest.raises(ConfigError, match=r"key name \['segment_far'\].* call these segments"):
        config.parse(yaml.safe_dump(content), FLIGHTS)


@pytest.mark.parametrize("name", ["candidate", "champion", "logistic_regression"])
def test_no_key_is_called_as_an_evaluation_calls_predictions(
    name: str, content: dict[str, Any]
) -> None:
    content["sources"]["flights"]["columns"][name] = "string"
    content["sources"]["flights"]["key"].append(name)
    with pytest.raises(ConfigError, match=rf"key names \['{name}'\], as the predictions of an"):
        config.parse(yaml.safe_dump(content), FLIGHTS)
