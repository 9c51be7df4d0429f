"""Tables as a person and as a program sees them."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich.console import Console

from perennial import console

if TYPE_CHECKING:
    import pytest

COLUMNS = ("id", "pipeline", "window", "who", "outcome", "age")
ROW = ("c677ec86decbdf19", "orders", "2013-01-01/2013-06-18", "", "promoted [1] at last", "3 min")


def shown(monkeypatch: pytest.MonkeyPatch, width: int, *, person: bool = True) -> str:
    file = io.StringIO()
    out = Console(file=file, force_terminal=person, width=width, color_system=None, soft_wrap=True)
    monkeypatch.setattr(console, "OUT", out)
    console.table("Wishes", COLUMNS, [ROW, ROW])
    return file.getvalue()


def test_a_table_that_fits_is_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    said = shown(monkeypatch, 100)
    assert "━" in said
    assert said.count("c677ec86decbdf19 │ orders   │ 2013-01-01/2013-06-18 │") == 2


def test_what_is_too_wide_is_shown_row_by_row_and_ids_stay_whole(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lines = [line.rstrip() for line in shown(monkeypatch, 60).splitlines()]
    assert lines[:7] == [
        "Wishes",
        "id        c677ec86decbdf19",
        "pipeline  orders",
        "window    2013-01-01/2013-06-18",
        "outcome   promoted [1] at last",
        "age       3 min",
        "",
    ]
    assert lines[7:13] == lines[1:7]


def test_a_program_gets_tabs(monkeypatch: pytest.MonkeyPatch) -> None:
    assert shown(monkeypatch, 40, person=False).splitlines() == ["\t".join(ROW)] * 2
