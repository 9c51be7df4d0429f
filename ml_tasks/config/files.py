"""The only reader of the pipelines' YAML, and of that of the prices."""

from __future__ import annotations

from pathlib import Path
from textwrap import indent
from typing import TYPE_CHECKING, Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from ml_tasks.config import nodes
from ml_tasks.config.environment import Environment
from ml_tasks.config.pipeline import Pipeline
from ml_tasks.config.prices import Prices
from ml_tasks.config.wording import explain
from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping

Model = TypeVar("Model", bound=BaseModel)
ENDING = ".yml"
"""What others call YAML; a product has one file, whose name can be told from its own."""
EXAMPLE_PRICES = Path(__file__).with_name("prices.yaml")


def load(name: str, folder: Path | None = None) -> Pipeline:
    """Read one pipeline by name.

    Raises:
        ConfigError: There is no such file, or it does not hold; one line a fault, each with
            file, key, what came and what was wanted.
    """
    path = require(name, folder or Environment().pipelines)
    return parse(_text(path), path)


def require(name: str, folder: Path) -> Path:
    """Give a pipeline's file.

    Raises:
        ConfigError: There is none; names those that there are.
    """
    path = folder / f"{name}.yaml"
    if not path.is_file():
        if (other := path.with_suffix(ENDING)).is_file():
            raise ConfigError(wrong_ending(other))
        raise ConfigError(f"pipeline {name!r}: no file {path}; wanted one of {names(folder)}")
    return path


def names(folder: Path) -> list[str]:
    """Name the pipelines that have a file in a folder, in their order.

    Raises:
        ConfigError: There is no such folder.
    """
    if not folder.is_dir():
        raise ConfigError(
            f"there is no folder {folder}, wanted one with <name>.yaml: PERENNIAL_PIPELINES says "
            "where pipelines lie"
        )
    return sorted(path.stem for path in folder.glob("*.yaml") if path.is_file())


def wrong_ending(path: Path) -> str:
    """Say that a file would be read if it were called otherwise."""
    return f"{path}: came the ending {path.suffix}, wanted .yaml: rename it"


def load_prices(environment: Environment) -> Prices:
    """Read what computing costs; where the environment names no file, example figures.

    Raises:
        ConfigError: It cannot be read, or does not hold; one line a fault.
    """
    path = environment.prices or EXAMPLE_PRICES
    return hold(Prices, _mapping(_text(path), path), str(path))


def load_all(folder: Path | None = None) -> tuple[Pipeline, ...]:
    """Read every pipeline, in the order of their names."""
    folder = folder or Environment().pipelines
    return tuple(load(name, folder) for name in names(folder))


def load_good(folder: Path | None = None) -> tuple[tuple[Pipeline, ...], dict[str, str]]:
    """Read every pipeline that holds, and give the faults of the others by name.

    One product's fault must not take the others along.
    """
    folder = folder or Environment().pipelines
    good, faults = [], {}
    for name in names(folder) if folder.is_dir() else ():
        try:
            good.append(load(name, folder))
        except ConfigError as fault:
            faults[name] = str(fault)
    return tuple(good), faults


def hold(model: type[Model], told: Mapping[str, Any], where: str) -> Model:
    """Hold what a YAML says against a model; `where` only names it in messages.

    Raises:
        ConfigError: It does not fit; one line a fault.
    """
    try:
        return model.model_validate(told)
    except ValidationError as fault:
        raise ConfigError(explain(fault, where, model)) from fault


def parse(text: str, path: Path) -> Pipeline:
    """Turn YAML text into a pipeline; `path` only names it in messages and must match `name`."""
    pipeline = hold(Pipeline, _mapping(text, path), str(path))
    if pipeline.name != path.stem:
        raise ConfigError(f"{path}: name: came {pipeline.name!r}, wanted the file's name")
    return pipeline


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (UnicodeDecodeError, OSError) as fault:
        raise ConfigError(f"{path}: cannot be read as UTF-8 text: {fault}") from fault


def _mapping(text: str, path: Path) -> dict[str, Any]:
    try:
        content = nodes.values(text)
    except yaml.YAMLError as fault:
        raise ConfigError(f"{path}: not YAML: {_where(fault)}") from fault
    except ConfigError as fault:
        raise ConfigError(indent(str(fault), f"{path}: ")) from fault
    if not isinstance(content, dict):
        came = "an empty file" if content is None else type(content).__name__
        raise ConfigError(f"{path}: came {came}, wanted a mapping of sections")
    return content


def _where(fault: yaml.YAMLError) -> str:
    """Give the place and what is wrong there, on one line."""
    if not isinstance(fault, yaml.MarkedYAMLError) or fault.problem_mark is None:
        return " ".join(str(fault).split())
    mark = fault.problem_mark
    return f"line {mark.line + 1}, column {mark.column + 1}: {fault.problem}"
