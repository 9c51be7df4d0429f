from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pytest

from ml_tasks.monitoring import outliers

if TYPE_CHECKING:
    from pathlib import Path

COLUMNS = {"numeric": ("a", "b"), "categorical": ("word",)}
PYOD = (2.866869267328415, 11.140716200112923, 6.951061458086498)
Row = dict[str, Any]


def made(dice: np.random.Generator, n: int) -> pa.Table:
    """Give a long tail, whole numbers with gaps, and texts of which some are rare or null."""
    gaps = dice.uniform(size=n) < 0.1
    word = dice.choice(["x", "y", "rare", "gone"], size=n, p=[0.6, 0.3, 0.02, 0.08])
    return pa.table(
        {
            "a": dice.exponential(size=n),
            "b": pa.array(dice.integers(0, 9, size=n), mask=gaps),
            "word": pa.array(word, mask=word == "gone"),
        }
    )


def by_hand(reference: list[Row], row: Row) -> float:
    """Say what the definition says: -log of the share of rows at least as far out, with itself."""
    everyone, total = [*reference, row], 0.0
    for name in COLUMNS["numeric"]:
        own = row[name]
        if own is None:
            share = sum(one[name] is None for one in everyone)
        else:
            there = [one[name] for one in everyone if one[name] is not None]
            share = min(sum(v <= own for v in there), sum(v >= own for v in there))
        total -= math.log(share / len(everyone))
    words = [one["word"] for one in everyone]
    rarer = sum(words.count(word) <= words.count(row["word"]) for word in words)
    return total - math.log(rarer / len(everyone))


def test_the_score_is_the_definition_s() -> None:
    dice = np.random.default_rng(1)
    reference, asked = made(dice, 300), made(dice, 60)
    asked = pa.concat_tables(
        [asked, pa.table({"a": [99.0, None], "b": [None, 99], "word": ["never seen", None]})],
        promote_options="permissive",
    )
    found = outliers.fit(reference, **COLUMNS).score(asked)
    rows = reference.to_pylist()
    assert found.score == pytest.approx([by_hand(rows, row) for row in asked.to_pylist()])
    assert found.columns == ("a", "b", "word")
    assert found.score == pytest.approx(found.parts.sum(axis=1))


def test_the_threshold_is_a_quantile_of_each_row_beside_all_others() -> None:
    reference = made(np.random.default_rng(2), 150)
    rows = reference.to_pylist()
    own = sorted(by_hand(rows[:n] + rows[n + 1 :], row) for n, row in enumerate(rows))
    for quantile in (0.9, 0.99):
        kept = outliers.fit(reference, **COLUMNS, params=outliers.Params(quantile=quantile))
        wanted = np.quantile(own, quantile, method="higher")
        assert kept.threshold == pytest.approx(wanted)


def test_rows_like_the_reference_s_are_outliers_as_often_as_told() -> None:
    dice = np.random.default_rng(3)
    shares = [
        outliers.fit(made(dice, 2000), **COLUMNS).score(made(dice, 2000)).outliers.mean()
        for _ in range(20)
    ]
    assert np.mean(shares) == pytest.approx(0.01, abs=0.002)


def test_columns_add_up_and_the_odd_one_weighs_most() -> None:
    dice = np.random.default_rng(4)
    kept = outliers.fit(made(dice, 3000), **COLUMNS)
    asked = pa.table(
        {"a": [50.0, 0.5, 0.7], "b": [4, 400, 4], "word": ["x", "x", "a word of its own"]}
    )
    found = kept.score(asked)
    assert [found.columns[place] for place in found.parts.argmax(axis=1)] == ["a", "b", "word"]


def test_a_text_that_was_never_seen_is_as_rare_as_what_was_seen_once() -> None:
    """Where many texts are seen once, as flight numbers are, a new one is nothing odd."""
    few = pa.table({"word": ["x"] * 97 + ["y", "z", "w"]})
    many = pa.table({"word": [str(n) for n in range(60)] + ["x"] * 40})
    asked = pa.table({"word": ["new", "x"]})
    odd, common = (
        outliers.fit(table, numeric=(), categorical=("word",)).score(asked).score
        for table in (few, many)
    )
    assert odd[0] == pytest.approx(-math.log(4 / 101))
    assert common[0] == pytest.approx(-math.log(61 / 101))
    assert odd[1] == common[1] == 0.0


def test_a_column_that_never_had_a_value_makes_the_first_one_odd() -> None:
    empty = pa.table({"a": pa.array([None] * 99, pa.float64())})
    kept = outliers.fit(empty, numeric=("a",))
    asked = pa.table({"a": pa.array([None, 1.0, math.inf, math.nan])})
    assert kept.score(asked).score == pytest.approx([0.0, math.log(100), 0.0, 0.0])


def test_own_days_are_scored_beside_all_others() -> None:
    reference = made(np.random.default_rng(8), 400)
    days = np.random.default_rng(9).integers(0, 4, size=400)
    kept = outliers.fit(reference, **COLUMNS)
    found = dict(outliers.own_days(kept, reference, days))
    assert list(found) == [0, 1, 2, 3]
    for day, scores in found.items():
        rest = outliers.fit(reference.filter(days != day), **COLUMNS)
        own = reference.filter(days == day)
        assert scores.parts == pytest.approx(rest.score(own).parts)
        assert scores.threshold == kept.threshold


def test_what_is_kept_is_read_back_and_equal_references_give_equal_bytes(tmp_path: Path) -> None:
    reference = made(np.random.default_rng(6), 500)
    shuffled = reference.take(np.random.default_rng(7).permutation(500))
    outliers.fit(reference, **COLUMNS).save(tmp_path / "one")
    outliers.fit(shuffled, **COLUMNS).save(tmp_path / "two")
    files = sorted(file.name for file in (tmp_path / "one").iterdir())
    assert files == ["outliers.json", "outliers.npz"]
    for file in files:
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()
    found = outliers.Ecod.load(tmp_path / "one").score(reference)
    wanted = outliers.fit(reference, **COLUMNS).score(reference)
    assert np.array_equal(found.parts, wanted.parts)
    assert found.threshold == wanted.threshold


def test_what_was_kept_with_each_row_s_value_is_read(tmp_path: Path) -> None:
    """As champions have it that were fitted before each value was kept once."""
    kept = outliers.fit(made(np.random.default_rng(6), 500), **COLUMNS)
    kept.save(tmp_path)
    with np.load(tmp_path / "outliers.npz") as found:
        before = {name: found[name] for name in found.files if not name.startswith("upto")}
    for place, column in enumerate(kept.numeric.values()):
        before[f"numeric_{place}"] = column.expanded()
    np.savez(tmp_path / "outliers.npz", **before)
    asked = made(np.random.default_rng(7), 50)
    assert np.array_equal(outliers.Ecod.load(tmp_path).score(asked).parts, kept.score(asked).parts)


def test_it_is_pyod_s_score() -> None:
    """PyOD 3.6.7 on these very columns: of its fit, and of one new row at a time."""
    dice = np.random.Generator(np.random.PCG64(5))
    columns = {
        "a": dice.normal(size=40),
        "b": dice.exponential(size=40),
        "c": dice.integers(0, 6, size=40).astype(float) ** 2,
    }
    kept = outliers.fit(pa.table(columns), numeric=tuple(columns))
    asked = pa.table({"a": [0.0, 3.0, -1.0], "b": [0.5, 9.0, 0.01], "c": [4.0, 49.0, 0.0]})
    assert kept.score(asked).score == pytest.approx(PYOD)
