from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from sklearn.linear_model import LogisticRegression, Ridge

from ml_tasks.baselines import BASELINES, baseline
from ml_tasks.errors import ConfigError
from ml_tasks.models import spec as specs
from ml_tasks.training.metrics import measure

DICE = np.random.default_rng(0)
X = DICE.normal(size=800)
ROWS = pl.DataFrame(
    {
        "x": [None if i % 9 == 0 else x for i, x in enumerate(X)],
        "word": ["ab"[i % 2] for i in range(800)],
        "label": (X + (np.arange(800) % 2) + 0.3 * DICE.normal(size=800) > 0.5).astype(float),
        "amount": 5 * X + 10,
    }
)
NEW = pl.DataFrame({"x": [None, 3.0, -3.0], "word": [None, "never seen", "b"]})


@pytest.mark.parametrize("task", ["classification", "regression"])
@pytest.mark.parametrize("name", BASELINES)
def test_each_learns_repeats_itself_and_takes_what_is_new(name: str, task: str) -> None:
    label = "label" if task == "classification" else "amount"
    spec = specs.fit(
        ROWS[:600],
        task=task,  # type: ignore[arg-type]
        numeric=("x",),
        categorical=("word",),
        label=label,
    )
    one, two = (baseline(name).fit(ROWS[:600], spec, label, 3) for _ in range(2))
    said = one(ROWS[600:])
    assert np.array_equal(said, two(ROWS[600:]))
    found = measure(task, ROWS[600:][label].to_numpy(), said)  # type: ignore[arg-type]
    good = found["roc_auc"] > 0.85 if task == "classification" else found["r2"] > 0.7
    assert good or name in ("majority", "mean")
    assert np.isfinite(one(NEW)).all()


@pytest.mark.parametrize(
    ("numeric", "categorical"), [(("x",), ()), ((), ("word",)), (("x", "empty"), ("word",))]
)
@pytest.mark.parametrize("name", BASELINES)
def test_inputs_of_one_kind_or_without_any_value(
    name: str, numeric: tuple[str, ...], categorical: tuple[str, ...]
) -> None:
    rows = ROWS.with_columns(empty=pl.lit(None, pl.Float64))
    spec = specs.fit(
        rows, task="classification", numeric=numeric, categorical=categorical, label="label"
    )
    said = baseline(name).fit(rows, spec, "label", 3)(NEW.with_columns(empty=pl.lit(1.0)))
    assert np.isfinite(said).all()


def test_majority_says_the_mean() -> None:
    spec = specs.fit(ROWS, task="regression", numeric=("x",), categorical=(), label="amount")
    said = baseline("majority").fit(ROWS, spec, "amount", 0)(NEW)
    assert said.tolist() == [pytest.approx(ROWS["amount"].mean())] * 3


def test_an_unknown_one() -> None:
    with pytest.raises(ConfigError, match=r"baselines: came 'oracle', wanted some of \['majority'"):
        baseline("oracle")


@pytest.mark.parametrize("task", ["classification", "regression"])
def test_linear_ones_learn_in_double_precision_without_a_text_or_a_hole(
    task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    name, kind = {
        "classification": ("logistic_regression", LogisticRegression),
        "regression": ("linear_regression", Ridge),
    }[task]
    rows, seen = ROWS.filter(pl.col("x").is_not_null()), []
    fit = kind.fit
    monkeypatch.setattr(
        kind, "fit", lambda self, x, y, *rest: seen.append(x.dtype) or fit(self, x, y, *rest)
    )
    label = "label" if task == "classification" else "amount"
    spec = specs.fit(rows, task=task, numeric=("x",), categorical=(), label=label)  # type: ignore[arg-type]
    baseline(name).fit(rows, spec, label, 3)
    assert seen == [np.float64]
