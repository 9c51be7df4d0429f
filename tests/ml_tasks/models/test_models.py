from __future__ import annotations

import numpy as np
import polars as pl
import pytest
import torch

from ml_tasks import models
from ml_tasks.config import Training
from ml_tasks.errors import ConfigError
from ml_tasks.models import spec as specs
from ml_tasks.models.dropout import Dropout
from ml_tasks.models.predict import OnnxModel
from ml_tasks.training import export
from ml_tasks.training.data import part
from ml_tasks.training.loop import predict

ROWS = pl.DataFrame(
    {
        "a": [1.0, 2.0, 3.0, None],
        "b": [5, 5, 5, 5],
        "c": ["x", "y", None, "x"],
        "d": ["u", "u", "v", "w"],
        "label": [0, 1, 0, 1],
    }
)
SPEC = specs.fit(
    ROWS, task="classification", numeric=("a", "b"), categorical=("c", "d"), label="label"
)


def test_an_unknown_kind_and_wrong_params() -> None:
    with pytest.raises(ConfigError, match=r"training.model: came 'forest', wanted one of \['mlp'"):
        models.module("forest")
    with pytest.raises(ConfigError, match=r"training.params \(mlp\): dropout: came 2"):
        models.params_of(Training(model="mlp", params={"dropout": 2}))


def test_preprocessing_is_learned_from_what_is_there() -> None:
    assert SPEC.mean == pytest.approx((2.0, 5.0))
    assert SPEC.scale == pytest.approx((np.sqrt(2 / 3), 1.0))
    assert SPEC.vocabularies == (("x", "y"), ("u", "v", "w"))
    other = pl.DataFrame({"c": ["y", "z", None], "d": ["w", "u", ""]})
    assert specs.codes(other, SPEC).tolist() == [[2, 3], [0, 1], [0, 0]]
    assert specs.Spec.model_validate_json(SPEC.model_dump_json()) == SPEC


def test_a_batchs_rows_lie_in_one_place_each() -> None:
    made, rows = part(ROWS, SPEC, "label", torch.device("cpu")), torch.tensor([3, 0])
    assert made.x.is_contiguous()
    taken = made.taken(rows)
    for own, whole in ((taken.x, made.x), (taken.codes, made.codes), (taken.y, made.y)):
        torch.testing.assert_close(own, whole[rows], rtol=0, atol=0, equal_nan=True)


def test_dropout_is_pytorchs_by_other_draws() -> None:
    values, share = torch.linspace(1, 2, 200_000, requires_grad=True), 0.4
    torch.manual_seed(1)
    some = Dropout(share)(values)
    left_out = some == 0
    assert float(left_out.float().mean()) == pytest.approx(share, abs=0.01)
    assert torch.allclose(some[~left_out], values[~left_out] / (1 - share))
    some.sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad == 0, left_out)
    torch.manual_seed(1)
    assert torch.equal(Dropout(share)(values), some)
    assert torch.equal(Dropout(share).eval()(values), values)
    drawn = torch.get_rng_state()
    assert torch.equal(Dropout(0)(values), values)
    assert torch.equal(torch.get_rng_state(), drawn)


def test_infinity_counts_as_missing() -> None:
    found = specs.numbers(pl.DataFrame({"a": [np.inf, -np.inf, None, 1.0]}), ("a",))
    assert np.isnan(found[:3]).all()
    assert found[3] == 1


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("categorical", [("c", "d"), ()])
def test_the_graph_takes_raw_rows_and_agrees_with_the_network(
    task: str, categorical: tuple[str, ...]
) -> None:
    spec = specs.fit(
        ROWS,
        task=task,  # type: ignore[arg-type]
        numeric=("a", "b"),
        categorical=categorical,
        label="label",
    )
    torch.manual_seed(0)
    params = models.params_of(Training(model="mlp", params={"hidden": [8], "dropout": 0.5}))
    network = models.module("mlp").build(params, spec)
    unseen = pl.DataFrame(
        {
            "a": [None, 100.0, 2.5, -3.0, float("inf")],
            "b": [5, None, 6, 7, 1],
            "c": [None, "never seen", "x", "y", ""],
            "d": ["u", "v", "w", None, "é"],
            "label": [0.0] * 5,
        }
    )
    wanted = predict(network, part(unseen, spec, "label", torch.device("cpu")), spec)
    graph = export.onnx_bytes(network, spec)
    found = OnnxModel(graph, spec).predict(unseen)
    assert np.isfinite(found).all()
    assert found == pytest.approx(wanted, abs=1e-6)
    assert export.onnx_bytes(network, spec) == graph


def test_numbers_are_left_out_in_training_alone() -> None:
    params = models.params_of(Training(model="mlp", params={"hidden": [8], "input_dropout": 0.5}))
    network = models.module("mlp").build(params, SPEC)
    inputs = part(ROWS, SPEC, "label", torch.device("cpu"))
    learning, asked = (
        {tuple(network.train(mode)(inputs.x, inputs.codes).tolist()) for _ in range(20)}
        for mode in (True, False)
    )
    assert len(learning) > 1
    assert len(asked) == 1


def test_the_hash_sees_every_weight() -> None:
    weights = {"a": torch.zeros(2, 3), "b": torch.ones(1)}
    known = export.weights_hash(weights)
    assert export.weights_hash(dict(reversed(weights.items()))) == known
    others = [
        {**weights, "b": torch.tensor([1.0000001])},
        {**weights, "a": torch.zeros(3, 2)},
        {"a": weights["a"], "c": weights["b"]},
    ]
    assert known not in {export.weights_hash(other) for other in others}
