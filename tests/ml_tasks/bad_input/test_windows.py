"""Windows that come twice, changed, late or in another order."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from ml_tasks.io.content import content_hash

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import pytest
    from conftest import Product, Row

WEEKS = ("2024-03-01/2024-03-08", "2024-03-08/2024-03-15", "2024-03-15/2024-03-22")
AT = 1


def within(rows: list[Row], window: str) -> list[Row]:
    start, end = window.split("/")
    return [row for row in rows if start <= row[AT][:10] < end]


def test_a_window_that_arrives_twice(product: Product, parcels: list[Row]) -> None:
    """In the same run, in another run, and in another file: no commit, no row twice."""
    product.bring_in(parcels)
    before = product.lake.snapshot("raw.parcels")
    for number, run in enumerate(("r", "again"), start=2):
        done = product.ingestion(run=run, attempt=number)
        assert done["validate"].values["unchanged"] is True
    product.deliver(parcels, name="copy.csv", landed=9)
    assert product.ingestion(run="copy")["ingest"].values["unchanged"] is True
    assert product.lake.snapshot("raw.parcels") == before
    (window,) = product.control.windows("parcels")
    assert window.run == "copy"


def test_a_window_that_comes_changed_keeps_both_versions(
    product: Product, parcels: list[Row]
) -> None:
    product.bring_in(parcels)
    product.all_of(["claim"], trigger=product.ask())
    first = product.all_of(["assemble"])["assemble"].values["set"]

    product.deliver([[*parcels[7][:2], "999", *parcels[7][3:]]], landed=9)
    done = product.ingestion(run="changed")
    told = done["ingest"].values["parcels"]
    assert (told["new"], told["corrections"], told["late"]) == (0, 1, 0)
    rows = [r for r in product.lake.read("raw.parcels").to_pylist() if r["id"] == 7]
    landed = datetime(2024, 4, 9, tzinfo=UTC)
    assert sorted((r["known_at"], r["amount"]) for r in rows)[1] == (landed, 999.0)
    assert len(rows) == 2
    again = product.all_of(["assemble"], attempt=2)["assemble"].values["set"]
    assert again == first, "it was corrected after the window's end: nobody knew it then"


def test_rows_that_come_late(product: Product, parcels: list[Row]) -> None:
    """They are in, known when they landed; a set that ends before they were known lacks them."""
    product.bring_in(parcels[1:])
    product.deliver(parcels[:1], landed=9)
    done = product.ingestion(run="late")
    assert done["ingest"].values["parcels"]["late"] == 1
    (row,) = [r for r in product.lake.read("raw.parcels").to_pylist() if r["id"] == 0]
    assert row["known_at"] == row["corrected_at"] == datetime(2024, 4, 9, tzinfo=UTC)
    product.all_of(["claim"], trigger=product.ask())
    made = product.all_of(["assemble"])["assemble"]
    assert made.outputs["set"].rows == 1199


def test_windows_that_come_in_another_order(
    make: Callable[..., Product],
    parcels: list[Row],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The same rows in the end; till the hole is filled, what lies behind it is not trained on."""
    hashes = []
    for name, order in (("a", WEEKS), ("b", (WEEKS[2], WEEKS[0], WEEKS[1]))):
        product = make(home=name)
        for number, window in enumerate(order):
            product.deliver(within(parcels, window), name=f"{window[:10]}.csv", landed=number + 1)
            product.ingestion(window=window, run=f"week{number}")
            if order[: number + 1] == (WEEKS[2], WEEKS[0]):
                assert (product.control.covered("parcels") or "")[:10] == "2024-03-08"
        assert (product.control.covered("parcels") or "")[:10] == "2024-03-22"
        hashes.append(content_hash(product.lake.read("raw.parcels")))
    assert hashes[0] == hashes[1]


def test_a_window_that_its_file_does_not_reach_yet(product: Product, parcels: list[Row]) -> None:
    """It is not called in without rows: all that comes for it later would be late."""
    ahead = "2024-04-07/2024-04-14"
    product.bring_in(parcels)
    said = product.refused("ingest", 65, window=ahead, run="ahead")
    assert (
        f"source parcels, window {ahead}: none of its rows is there, those that are end at" in said
    )
    assert len(product.control.windows("parcels")) == 1
    declared = product.declared("sources")["parcels"]
    product.change(sources={"parcels": declared | {"may_be_empty": True}})
    product.ingestion(window=ahead, run="empty")
    assert len(product.control.windows("parcels")) == 2
