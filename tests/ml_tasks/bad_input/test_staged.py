"""What lies between `ingest` and `validate`: cut, changed, gone, of an older form."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import pytest

from ml_tasks.io import objects
from ml_tasks.io.content import content_hash

if TYPE_CHECKING:
    from collections.abc import Callable

    from conftest import Product, Row


@pytest.fixture
def staged(product: Product, parcels: list[Row]) -> Path:
    """A staged window, of which nothing row by row is expected."""
    product.change(validation={"tolerated_bad_share": 0.0})
    product.deliver(parcels)
    product.all_of(["ingest"])
    return Path(urlsplit(product.output("ingest", "staged_parcels")).path)


@pytest.mark.parametrize(
    "harm",
    [
        lambda data: data[:-50] + b"x" * 50,
        lambda data: data[:2000] + b"zz" + data[2002:],
        lambda _data: b"",
    ],
    ids=["tail", "middle", "empty"],
)
def test_other_bytes_than_were_written_are_not_published(
    product: Product, staged: Path, harm: Callable[[bytes], bytes]
) -> None:
    staged.write_bytes(harm(staged.read_bytes()))
    said = product.refused("validate", 65)
    assert "its bytes have the SHA-256" in said
    assert "run the task that wrote it again" in said
    assert not product.published()


def test_where_nobody_wrote_down_its_bytes_the_rows_are_read(
    product: Product, staged: Path, parcels: list[Row]
) -> None:
    """As of a task that was begun before an upgrade."""
    told = objects.read_result(product.results["ingest"])
    outputs = {
        name: one.model_copy(update={"bytes_hash": None}) for name, one in told.outputs.items()
    }
    objects.write_result(product.results["ingest"], told.model_copy(update={"outputs": outputs}))
    whole = staged.read_bytes()
    staged.write_bytes(whole[: len(whole) // 2])
    assert product.go("validate")[0] != 0
    assert not product.published()
    staged.write_bytes(whole)
    product.all_of(["validate"])
    assert product.published() == len(parcels)


def test_a_column_that_is_widened_meanwhile(product: Product, parcels: list[Row]) -> None:
    columns = product.declared("sources")["parcels"]["columns"]
    product.change(validation={"tolerated_bad_share": 0.0})
    product.source(columns=columns | {"items": "int32?", "amount": "float32?"})
    product.deliver(parcels)
    product.all_of(["ingest"])
    product.source(columns=columns)
    done = product.all_of(["validate"])["validate"].outputs["raw_parcels"]
    rows = product.lake.read("raw.parcels")
    assert (rows.num_rows, done.content_hash) == (len(parcels), content_hash(rows))
    assert str(rows.schema.field("items").type) == "int64"
