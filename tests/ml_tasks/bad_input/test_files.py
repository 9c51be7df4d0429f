"""Files that are not what was agreed: nothing, garbage, other columns."""

from __future__ import annotations

import gzip
import random
from typing import TYPE_CHECKING

import pytest

from ml_tasks.io import objects

if TYPE_CHECKING:
    from conftest import Product, Row

HEAD = "id,at,amount,items,shop,late\n"
QUANTILES = {
    "type": "expect_column_quantile_values_to_be_between",
    "column": "amount",
    "quantile_ranges": {"quantiles": [0.5], "value_ranges": [[0, 100]]},
}
ROWS = {"type": "expect_table_row_count_to_be_between", "min_value": 1}


def expecting(product: Product, *wanted: dict[str, object]) -> None:
    product.change(
        validation={"tolerated_bad_share": 0.05, "expectations": {"parcels": list(wanted)}}
    )


def test_nothing_was_delivered(product: Product) -> None:
    said = product.refused("ingest", 65)
    assert "source parcels, window 2024-03-01/2024-03-31: nothing was delivered" in said
    assert f"looked at {product.environment.landing_root}/parcels/**/*.csv; deliver it" in said
    assert not product.left("ingest")
    assert product.lake.tables() == []


def test_a_window_without_rows_is_a_table_without_rows_and_no_set(product: Product) -> None:
    """That is right where a day may have no orders; a set of it is refused."""
    product.bring_in(HEAD.encode())
    assert (product.published(), product.reasons()) == (0, [])
    (window,) = product.control.windows("parcels")
    assert window.end.startswith("2024-03-31")
    product.all_of(["claim"], trigger=product.ask())
    said = product.refused("assemble", 65)
    assert "part 'train' of the set: came 0 rows with 0 different labels" in said
    assert not product.left("assemble")


@pytest.mark.parametrize("wanted", [QUANTILES, ROWS], ids=["quantiles", "number of rows"])
def test_a_window_without_rows_of_which_more_is_expected(
    wanted: dict[str, object], product: Product
) -> None:
    expecting(product, wanted)
    product.deliver(HEAD.encode())
    product.all_of(["ingest"])
    said = product.refused("validate", 65)
    assert f"{wanted['type']} on '{wanted.get('column', '')}': came " in said
    assert "nothing was published" in said
    assert product.published() is None


def test_quantiles_of_rows_are_judged(product: Product, parcels: list[Row]) -> None:
    expecting(product, QUANTILES)
    product.bring_in(parcels)
    assert product.published() == 1200


def garbage(size: int = 4000) -> bytes:
    return random.Random(7).randbytes(size)  # noqa: S311 - data of a test


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (garbage(), "no UTF-8 text: byte 0xb4 in line 1"),
        (
            HEAD.encode() + b"1,2024-03-01T00:00:00Z,1,1,a\xff,0\n",
            "no UTF-8 text: byte 0xff in line 2",
        ),
        (gzip.compress(garbage())[:-2000], "packed by gzip, and broken: "),
        (b"", "the file is empty, wanted a first line that names the columns"),
        (b"id,at,amount,items,shop,late,shop\n", "columns ['shop'] come twice; rename them"),
        (
            b"id,at,amount,items,shop,late,x,x\n1,2,3,4,5,6,7,8\n",
            "columns ['x'] come twice; rename",
        ),
        (
            HEAD.replace("\n", ",x\0\n").encode(),
            "columns ['x\\x00'] have a zero byte in their names",
        ),
        (b'id,"at\n1,2\n', "no line names the columns, wanted one of up to 4194304 bytes"),
    ],
    ids=[
        "bytes",
        "one byte",
        "half of a gzip",
        "no byte",
        "a column twice",
        "an undeclared one twice",
        "a zero byte in a name",
        "an open quote",
    ],
)
def test_garbage_beside_good_files(
    content: bytes, why: str, product: Product, parcels: list[Row],
    capfd: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    """The window is refused as a whole, and comes in once the file was delivered again."""
    product.deliver(parcels)
    product.deliver(content, name="more.csv")
    product.all_of(["ingest"])
    said = product.refused("validate", 65)
    assert f"/more.csv: file cannot be read: {why}" in said
    assert "deliver it again in its place, or take it away" in said
    assert product.published() is None
    assert product.reasons()[0].startswith("file cannot be read: ")
    err = capfd.readouterr().err
    assert "Traceback" not in err
    assert "Exception ignored" not in err

    product.deliver([["5000", *parcels[-1][1:]]], name="more.csv")
    product.all_of(("ingest", "validate"), attempt=2)
    assert product.published() == 1201


def test_garbage_that_is_text_is_bad_rows(product: Product, parcels: list[Row]) -> None:
    """Zero bytes and lines that are no rows are no fault of the file."""
    uri = product.deliver(parcels)
    more = b"\x00\x00\x00\nwhat,is\n,,,,,\n"
    product.deliver(objects.read_bytes(uri) + more)
    done = product.all_of(("ingest", "validate"))
    assert done["validate"].values["parcels"] == {"published": 1200, "quarantined": 3}
    assert sorted(product.reasons()) == [
        "column 'id': came nothing, wanted int64",
        "line has 1 values, wanted 6",
        "line has 2 values, wanted 6",
    ]


def test_columns_in_another_order_and_one_more(product: Product, parcels: list[Row]) -> None:
    """Names count, not places; the column that nobody declared is kept beside, and reported."""
    order = (5, 0, 3, 1, 4, 2)
    head = [HEAD.strip().split(",")[place] for place in order]
    lines = [[*head, "rider"], *([row[place] for place in order] + ["x"] for row in parcels)]
    product.bring_in("".join(",".join(line) + "\n" for line in lines).encode())
    shuffled = product.lake.read("raw.parcels").sort_by("id")
    assert product.reasons() == ["column 'rider' is not declared"]

    product.deliver(parcels, name="plain.csv", landed=2)
    again = product.all_of(("ingest", "validate"), attempt=2, run="plain")
    assert again["ingest"].values["parcels"]["corrections"] == 0
    assert product.lake.read("raw.parcels").sort_by("id").equals(shuffled)


def test_a_column_that_is_gone(product: Product, parcels: list[Row]) -> None:
    head, *lines = [[*row[:5]] for row in [HEAD.strip().split(","), *parcels]]
    product.deliver("".join(",".join(line) + "\n" for line in (head, *lines)).encode())
    product.all_of(["ingest"])
    said = product.refused("validate", 65)
    assert "1200 of 1200 rows are bad (100.0%), tolerated are 5.0%; most often" in said
    assert "column 'late': came nothing, wanted int64 (1200)" in said
    assert product.published() is None


def test_a_packed_file_is_read_as_it_is(product: Product, parcels: list[Row]) -> None:
    product.source(params={"path": "parcels/**/*.csv.gz"})
    uri = product.deliver(parcels)
    product.deliver(gzip.compress(objects.read_bytes(uri)), name="rows.csv.gz")
    product.all_of(("ingest", "validate"))
    assert product.published() == 1200


def test_a_head_as_spreadsheets_write_it(product: Product, parcels: list[Row]) -> None:
    """With blank lines before it, a line's end in a name, and none behind the last row."""
    head = "\ufeff\r\n\r\n" + HEAD.replace("\n", ',"note\nof the shop"\r\n')
    lines = "\r\n".join(",".join([*row, "x"]) for row in parcels)
    product.bring_in((head + lines).encode())
    assert product.published() == 1200
    assert product.reasons() == ["column 'note\\nof the shop' is not declared"]


@pytest.mark.parametrize("first", range(6))
def test_times_in_many_forms(first: int, product: Product, parcels: list[Row]) -> None:
    """Each is read by itself, whichever comes first."""
    forms = ("T{}Z", "T{}", " {}", " {} +00:00", "T{}.000+0000", "")
    product.bring_in([
        [row[0], row[1][:10] + forms[(first + number) % 6].format(row[1][11:19]), *row[2:]]
        for number, row in enumerate(parcels)
    ])  # fmt: skip
    assert (product.published(), product.reasons()) == (1200, [])
    times = product.lake.read("raw.parcels").sort_by("id")["at"].to_pylist()
    wanted = [
        row[1][:10] + ("T00:00:00Z" if (first + number) % 6 == 5 else row[1][10:])
        for number, row in enumerate(parcels)
    ]
    assert [f"{time:%Y-%m-%dT%H:%M:%SZ}" for time in times] == wanted
