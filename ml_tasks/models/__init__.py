"""Models: a kind is a file here and one line in `MODELS`; imported late, since torch is heavy."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

from ml_tasks.config import hold
from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from torch import nn

    from ml_tasks.config import Training
    from ml_tasks.models.params import ModelParams
    from ml_tasks.models.spec import Spec

MODELS = {"mlp": "ml_tasks.models.mlp"}


class ModelModule(Protocol):
    """What each module of the table offers."""

    @property
    def Params(self) -> type[ModelParams]:  # noqa: N802 - the name of a class
        """The model's own parameters."""
        ...

    def build(self, params: ModelParams, spec: Spec) -> nn.Module:
        """Make a model that gives one raw output `[n]` from numbers `[n, k]` and codes `[n, m]`."""
        ...


def module(kind: str) -> ModelModule:
    """Import a kind of model.

    Raises:
        ConfigError: There is no such kind.
    """
    if kind not in MODELS:
        raise ConfigError(f"training.model: came {kind!r}, wanted one of {sorted(MODELS)}")
    return cast("ModelModule", importlib.import_module(MODELS[kind]))


def params_of(training: Training) -> ModelParams:
    """Hold a model's parameters against its own model.

    Raises:
        ConfigError: They do not fit; one line a fault.
    """
    wanted = module(training.model).Params
    return hold(wanted, training.params, f"training.params ({training.model})")
