"""The list in the docs names tests that there are."""

from __future__ import annotations

import re

from ml_tasks.config import ROOT


def test_each_test_of_the_list_is_there() -> None:
    named = set(re.findall(r"`(test_\w+)`", (ROOT / "docs" / "bad-input.md").read_text()))
    sources = [file.read_text() for file in (ROOT / "tests").rglob("test_*.py")]
    there = {name for text in sources for name in re.findall(r"def (test_\w+)\(", text)}
    assert len(named) > 30
    assert named <= there, named - there


def test_each_test_of_this_folder_is_in_the_list() -> None:
    text = (ROOT / "docs" / "bad-input.md").read_text()
    here = sorted((ROOT / "tests/ml_tasks/bad_input").glob("test_*.py"))
    here.remove(ROOT / "tests/ml_tasks/bad_input/test_list.py")
    names = {n for file in here for n in re.findall(r"def (test_\w+)\(", file.read_text())}
    of_the_means = {"test_the_clock_is_a_day_behind", "test_quantiles_of_rows_are_judged"}
    assert names - of_the_means <= set(re.findall(r"`(test_\w+)`", text))
