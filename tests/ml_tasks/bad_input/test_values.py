"""Values that nobody planned for, followed from the CSV to the champion or to the refusal."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from ml_tasks.io import objects, parquet

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Product, Row

LABEL, AMOUNT, ITEMS, SHOP = 5, 2, 3, 4
TEST = 23 * 40
"""The first row of the test part."""
TO_VERDICT = ("claim", "assemble", "prove", "train", "baseline", "evaluate", "judge")


def changed(rows: list[Row], column: int, value: str, where: Callable[[int], bool]) -> list[Row]:
    """Rows in which a column of some has another value."""
    return [
        [*row[:column], value, *row[column + 1 :]] if where(number) else row
        for number, row in enumerate(rows)
    ]


def everywhere(_number: int) -> bool:
    return True


def every_tenth(number: int) -> bool:
    return number % 10 == 0


def to_champion(product: Product) -> pl.DataFrame:
    """Go on from what was ingested to the champion; give what was predicted."""
    trigger = product.ask()
    done = product.all_of((*TO_VERDICT, "reference", "register", "promote"), trigger=trigger)
    assert done["judge"].values["passed"], done["judge"].values["gates"]
    head = product.control.champion("parcels")
    assert head is not None
    assert head.version == done["register"].values["version"]
    said = parquet.read(done["evaluate"].outputs["predictions"].uri or "")
    return pl.DataFrame(pl.from_arrow(said))


def finite(said: pl.DataFrame) -> bool:
    """Whether each model gives a number for each row."""
    given = said.drop("id", "event_time", "label")
    return all(np.isfinite(given[name].to_numpy()).all() for name in given.columns)


@pytest.mark.parametrize(
    ("where", "message"),
    [
        (everywhere, "part 'train' of the set: came 720 rows with 1 different labels (late)"),
        (lambda number: number >= TEST, "part 'test' of the set: came 280 rows with 1 different"),
    ],
    ids=["everywhere", "in the test part"],
)
def test_labels_that_are_all_the_same(
    where: Callable[[int], bool], message: str, product: Product, parcels: list[Row]
) -> None:
    product.bring_in(changed(parcels, LABEL, "0", where))
    trigger = product.ask()
    product.all_of(["claim"], trigger=trigger)
    said = product.refused("assemble", 65)
    assert said.startswith(message)
    assert said.endswith("wanted at least 2; look at the window's raw rows and at split")
    assert not product.left("assemble")
    assert product.lake.load("raw.parcels").refs().keys() == {"main"}, "no set, no tag"
    assert "came inputs {}, wanted output 'set' of 'assemble'" in product.refused("train", 78)
    assert product.control.champion("parcels") is None
    assert product.control.trigger(trigger).state == "claimed"


@pytest.mark.parametrize("expression", ["amount / 0.0", "sqrt(amount - amount) / 0.0"])
def test_a_regressions_labels_that_are_no_finite_numbers(
    expression: str, product: Product, parcels: list[Row]
) -> None:
    product.change(
        label={"source": "parcels", "task": "regression", "expression": expression,
               "known_at": "at", "asked_before_minutes": 0},
    )  # fmt: skip
    product.bring_in(parcels)
    product.all_of(["claim"], trigger=product.ask())
    said = product.refused("assemble", 65)
    assert "labels that are no finite numbers" in said
    assert expression in said
    assert not product.left("assemble")


def test_a_category_that_training_has_not_seen(
    make: Callable[[str], Product], mlflow_url: str, parcels: list[Row]
) -> None:
    product = make(mlflow_url)
    product.bring_in(changed(parcels, SHOP, "west", lambda n: n >= TEST and n % 3 == 0))
    said = to_champion(product)
    assert finite(said)
    evaluated = json.loads(objects.read_text(product.output("evaluate", "evaluation")))
    assert "shop=west" in {segment["name"] for segment in evaluated["segments"]}
    spec = json.loads(objects.read_text(product.output("train", "description")))["spec"]
    assert spec["vocabularies"] == [["east", "north", "south"]]


@pytest.mark.parametrize("column", [AMOUNT, SHOP], ids=["number", "text"])
def test_a_column_without_any_value(column: int, product: Product, parcels: list[Row]) -> None:
    """It tells nothing, and the others are learned from."""
    product.bring_in(changed(parcels, column, "", everywhere))
    done = product.all_of(TO_VERDICT, trigger=product.ask())
    said = parquet.read(done["evaluate"].outputs["predictions"].uri or "")
    assert finite(pl.DataFrame(pl.from_arrow(said)))
    assert done["judge"].values["passed"] is (column == SHOP)


@pytest.mark.parametrize("columns", [["amount", "items"], ["shop"]], ids=["numbers", "texts"])
def test_features_of_one_kind(
    columns: list[str], make: Callable[[str], Product], mlflow_url: str, parcels: list[Row]
) -> None:
    product = make(mlflow_url)
    evaluation = product.declared("evaluation")
    floor = {"name": "floor", "params": {"metric": "roc_auc", "minimum": 0.1}}
    product.change(features={"columns": columns}, evaluation=evaluation | {"gates": [floor]})
    product.bring_in(parcels)
    assert finite(to_champion(product))
    _, proof = objects.read_result(product.results["judge"]).values["gates"]
    assert (proof["gate"], proof["passed"], proof["measured"]) == ("no_leak", True, 0)


def test_a_feature_that_is_an_outcome(product: Product, parcels: list[Row]) -> None:
    """It is refused also where the product names a floor and nothing else."""
    floor = {"name": "floor", "params": {"metric": "roc_auc", "minimum": 0.6}}
    product.change(
        features={"columns": ["items", "shop"]},
        label=product.declared("label") | {"expression": "amount > 50"},
        evaluation=product.declared("evaluation") | {"gates": [floor]},
    )
    product.bring_in([
        [*row[:ITEMS], f"{100 * float(row[AMOUNT]):.0f}", *row[ITEMS + 1 :]] for row in parcels
    ])  # fmt: skip
    product.all_of(TO_VERDICT, trigger=product.ask())
    verdict = json.loads(objects.read_text(product.output("judge", "verdict")))
    assert [one["passed"] for one in verdict["judgements"]] == [True, False]
    leak = "no_leak: items: own amount: it is a function of the row's own amount"
    said = product.refused("reference", 99)
    assert said.startswith(f"not promoted: 1 gates did not pass: {leak}")
    assert product.control.champion("parcels") is None


@pytest.mark.parametrize("known", [(), ("amount",)], ids=["nobody says so", "known"])
def test_a_feature_that_says_what_another_column_says(
    product: Product, parcels: list[Row], known: tuple[str, ...]
) -> None:
    """As degrees of one scale do of another: no leak where that is known when it is asked."""
    product.change(features={"columns": ["items", "shop"], "known": list(known)})
    product.bring_in([
        [*row[:ITEMS], f"{100 * float(row[AMOUNT]):.0f}", *row[ITEMS + 1 :]] for row in parcels
    ])  # fmt: skip
    product.all_of(TO_VERDICT, trigger=product.ask())
    verdict = json.loads(objects.read_text(product.output("judge", "verdict")))
    said = {one["gate"]: one["evidence"] for one in verdict["judgements"]}["no_leak"]
    assert ("it is a function of the row's own amount" in said) is (not known)
    assert ("features.known" in said) is (not known)


def test_features_without_any_value_are_no_champion(product: Product, parcels: list[Row]) -> None:
    product.change(features={"columns": ["amount"]})
    product.bring_in(changed(parcels, AMOUNT, "", everywhere))
    product.all_of(TO_VERDICT, trigger=product.ask())
    said = product.refused("reference", 99)
    assert said.startswith("not promoted: 2 gates did not pass: floor roc_auc: roc_auc is 0.5000")
    assert product.control.champion("parcels") is None


def test_a_tenth_that_is_missing(
    make: Callable[[str], Product], mlflow_url: str, parcels: list[Row]
) -> None:
    product = make(mlflow_url)
    product.bring_in(changed(parcels, AMOUNT, "", every_tenth))
    assert product.lake.read("raw.parcels")["amount"].null_count == len(parcels) // 10
    assert finite(to_champion(product))


@pytest.mark.parametrize(
    ("word", "kind"), [("NaN", "float64?"), ("inf", "float64?"), ("-Infinity", "float64?")]
)
def test_a_tenth_that_is_no_finite_number(
    word: str, kind: str, product: Product, parcels: list[Row]
) -> None:
    product.deliver(changed(parcels, AMOUNT, word, every_tenth))
    product.all_of(["ingest"])
    said = product.refused("validate", 65)
    assert "120 of 1200 rows are bad (10.0%), tolerated are 5.0%; most often" in said
    assert f"column 'amount': came '{word}', wanted {kind} (120)" in said
    assert "nothing was published, the bad rows are in quarantine; see file://" in said
    assert product.published() is None
    assert len(product.reasons()) == 120


def test_a_word_for_missing_is_declared_and_the_same_rows_flow(
    make: Callable[[str], Product], mlflow_url: str, parcels: list[Row]
) -> None:
    product = make(mlflow_url)
    product.source(params={"path": "parcels/**/*.csv", "null_values": ["", "NaN"]})
    product.bring_in(changed(parcels, AMOUNT, "NaN", every_tenth))
    assert product.reasons() == []
    assert finite(to_champion(product))


def test_a_few_infinite_values_go_to_quarantine_and_the_rest_to_the_champion(
    make: Callable[[str], Product], mlflow_url: str, parcels: list[Row]
) -> None:
    """Numbers that are finite, and too large for the model's four bytes, count as missing."""
    product = make(mlflow_url)
    rows = changed(parcels, AMOUNT, "inf", lambda n: n % 100 == 0)
    product.bring_in(changed(rows, AMOUNT, "1e300", lambda n: n % 100 == 50))
    assert product.published() == 1188
    assert product.reasons() == ["column 'amount': came 'inf', wanted float64?"] * 12
    assert finite(to_champion(product))
