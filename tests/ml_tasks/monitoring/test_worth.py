from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from sklearn.metrics import roc_auc_score

from ml_tasks.monitoring import worth

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROWS = 400


def predict(rows: pl.DataFrame) -> NDArray[np.float64]:
    """Give the sum of two columns; nothing of the third counts, and null counts as nought."""
    told = rows.select(pl.col("much").fill_null(0) * 3 + pl.col("little").fill_null(0))
    return told.to_series().to_numpy()


@pytest.fixture(scope="module")
def rows() -> pl.DataFrame:
    dice = np.random.default_rng(1)
    inputs = {name: dice.normal(size=ROWS) for name in ("much", "little", "nothing")}
    found = pl.DataFrame(inputs)
    label = predict(found) + dice.normal(size=ROWS) > 0
    return found.with_columns(pl.Series("label", label.astype(float)))


def measured(rows: pl.DataFrame, columns: tuple[str, ...]) -> worth.Worth:
    return worth.importance(
        predict, rows, columns, task="classification", metric="roc_auc", sign=1, seed=1
    )


def test_what_is_lost_is_told_for_each_column_and_by_its_own_name(rows: pl.DataFrame) -> None:
    found = measured(rows, ("nothing", "much", "little"))
    whole = roc_auc_score(rows["label"], predict(rows))
    for name, lost in found.there.items():
        gone = predict(rows.with_columns(pl.lit(None, pl.Float64).alias(name)))
        assert lost == pytest.approx(max(whole - roc_auc_score(rows["label"], gone), 0))
    assert found.told["nothing"] == found.there["nothing"] == 0
    assert found.told["much"] > 0.2 > found.told["little"] > 0
    backwards = measured(rows, ("little", "much", "nothing"))
    assert (backwards.told, backwards.there) == (found.told, found.there)


def test_what_matters_is_measured_on_all_rows_and_the_rest_on_few() -> None:
    dice = np.random.default_rng(2)
    names = ("much", "little", *(f"nothing{n}" for n in range(8)))
    rows = pl.DataFrame({name: dice.normal(size=2 * worth.FEW_ROWS) for name in names})
    label = predict(rows) + dice.normal(size=rows.height) > 0
    rows = rows.with_columns(pl.Series("label", label.astype(float)))
    asked: Counter[int] = Counter()

    def counted(some: pl.DataFrame) -> NDArray[np.float64]:
        asked[some.height] += 1
        return predict(some)

    found = worth.importance(
        counted, rows, names, task="classification", metric="roc_auc", sign=1, seed=1
    )
    every = [*found.told.values(), *found.there.values()]
    dear = [lost for lost in every if lost >= worth.MATTERS * max(every)]
    assert 2 <= len(dear) <= 4
    assert asked == {worth.FEW_ROWS: 1 + len(every), rows.height: 1 + len(dear)}
    gone = predict(rows.with_columns(pl.lit(None, pl.Float64).alias("much")))
    whole = roc_auc_score(rows["label"], predict(rows))
    assert found.there["much"] == pytest.approx(whole - roc_auc_score(rows["label"], gone))
    assert found.told["much"] > 0.2


@pytest.mark.parametrize("ones", [1, worth.FEW_LABELS])
def test_where_a_label_is_rare_all_is_measured_on_all_rows(ones: int) -> None:
    dice = np.random.default_rng(3)
    rows = pl.DataFrame({name: dice.normal(size=2 * worth.FEW_ROWS) for name in ("much", "little")})
    said = predict(rows)
    late = (said >= np.sort(said)[-ones]).astype(float)
    rows = rows.with_columns(pl.Series("label", late))
    heights = set[int]()

    def counted(some: pl.DataFrame) -> NDArray[np.float64]:
        heights.add(some.height)
        return predict(some)

    found = worth.importance(
        counted, rows, ("much", "little"), task="classification", metric="roc_auc", sign=1, seed=1
    )
    assert heights == {rows.height}
    assert found.told["much"] > 0.1
    assert np.isfinite([*found.told.values(), *found.there.values()]).all()


def test_a_fault_of_the_model_comes_through(rows: pl.DataFrame) -> None:
    with pytest.raises(pl.exceptions.ColumnNotFoundError):
        measured(rows, ("much", "gone"))
