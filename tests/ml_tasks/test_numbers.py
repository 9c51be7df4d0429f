"""No number that a YAML file or the environment may say is without end."""

from __future__ import annotations

import math
from datetime import UTC, datetime
from importlib import import_module
from typing import TYPE_CHECKING, Any, get_args

import pytest
from pydantic import BaseModel, ValidationError

from ml_tasks import drift_tests, gates, models, policies, sources
from ml_tasks.config import Environment, Pipeline, Prices, Retraining, explain, limits
from ml_tasks.config.outside import Outside

if TYPE_CHECKING:
    from collections.abc import Iterator

ENDLESS = (math.inf, -math.inf, math.nan, 10**18, 1e300, -(10**18))


def within(annotation: Any) -> Iterator[Any]:
    """Give what an annotation is made of, down to classes."""
    yield annotation
    for part in get_args(annotation):
        yield from within(part)


def sections(model: type[BaseModel], seen: set[type[BaseModel]]) -> set[type[BaseModel]]:
    if model not in seen:
        seen.add(model)
        for field in model.model_fields.values():
            for part in within(field.annotation):
                if isinstance(part, type) and issubclass(part, BaseModel):
                    sections(part, seen)
    return seen


def every_model() -> list[type[BaseModel]]:
    tables = (drift_tests.TESTS, gates.GATES, models.MODELS, policies.POLICIES, sources.SOURCES)
    named: list[Any] = [one for table in tables for one in table.values()]
    plugged = [(import_module(one) if isinstance(one, str) else one).Params for one in named]
    seen: set[type[BaseModel]] = set()
    for model in (Pipeline, Prices, Environment, Outside, *plugged):
        sections(model, seen)
    return sorted(seen, key=lambda model: (model.__module__, model.__name__))


def numbers() -> Iterator[Any]:
    for model in every_model():
        for name, field in model.model_fields.items():
            parts = list(within(field.annotation))
            if int in parts or float in parts:
                many = any(getattr(part, "__origin__", None) is tuple for part in parts)
                where = f"{model.__module__.removeprefix('ml_tasks.')}.{model.__name__}.{name}"
                yield pytest.param(model, name, field.alias, many, id=where)


def test_they_are_found() -> None:
    found = {str(one.id) for one in numbers()}
    assert {
        "config.monitoring.Retraining.cool_down_days", "config.pipeline.Toleration."
        "toleration_seconds", "config.prices.Price.cpu_hour", "models.mlp.Params.hidden",
        "drift_tests.online_cvm.Params.windows", "gates.floor.Params.minimum",
    } <= found  # fmt: skip
    assert len(found) > 60


@pytest.mark.parametrize(("model", "name", "alias", "many"), list(numbers()))
def test_a_number_without_end_is_refused_in_words(
    model: type[BaseModel], name: str, alias: str | None, many: bool
) -> None:
    key = alias or name
    for value in ENDLESS:
        with pytest.raises(ValidationError) as caught:
            model.model_validate({key: [value] if many else value})
        told = explain(caught.value, "pipeline.yaml", model).splitlines()
        line = next(one for one in told if one.startswith(f"pipeline.yaml: {key}"))
        wanted = ("wanted a ", "wanted whole numbers ")
        assert str(value) in line
        assert any(one in line for one in wanted), line


def test_the_greatest_cool_down_that_passes_is_reckoned_with() -> None:
    found = Retraining(cool_down_days=36_500)
    now = datetime(2026, 1, 1, tzinfo=UTC)
    against = limits.against(found, now, [datetime(2013, 1, 1, tzinfo=UTC)])
    assert against == "cool-down of 36500 days since 2013-01-01"
