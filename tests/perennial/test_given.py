"""What a command was given: a product that there is, or one of which something is kept."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Any

import pytest
import typer

from ml_tasks.config import Environment
from ml_tasks.io.control import Control
from perennial import console
from perennial.__main__ import app, main

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

MORE = {"rollback": ["--why", "x"], "lineage": ["champion"], "run": ["training"]}
"""What a command wants beside the product."""


def commands(of: Any, *before: str) -> Iterator[tuple[str, ...]]:
    """Give the words of all commands that take a product by `--pipeline`."""
    if any("--pipeline" in one.opts for one in of.params):
        yield before
    for name, command in getattr(of, "commands", {}).items():
        yield from commands(command, *before, name)


WORDS = list(commands(typer.main.get_command(app)))


def test_those_that_take_a_product_are_found() -> None:
    named = {("triggers",), ("alerts",), ("alerts", "test"), ("ledger",), ("audit", "verify")}
    assert named <= set(WORDS)


def helps(of: Any) -> Iterator[str]:
    """Give what all commands say of themselves."""
    yield of.help or ""
    for command in getattr(of, "commands", {}).values():
        yield from helps(command)


def test_help_is_for_people() -> None:
    """It is the docstring, of which sections for programmers are no part."""
    said = list(helps(typer.main.get_command(app)))
    assert len(said) > 30
    assert not [text for text in said if any(w in text for w in ("Raises:", "Args:", "Returns:"))]


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("words", [pytest.param(w, id=" ".join(w)) for w in WORDS])
def test_a_product_that_is_none_is_refused(
    words: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, *MORE.get(words[-1], []), "-p", "nosuch"]) == 78
    said = capsys.readouterr().err
    assert "pipeline 'nosuch': no file" in said
    assert "wanted one of ['arrival_delay', 'flight_delays']" in said


def test_what_was_kept_of_one_that_is_gone_is_shown(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    control = Control(Environment(home=home).control)
    control.migrate()
    control.ask("gone", "form", "2013-01-01/2013-01-08", who="me", evidence={"psi": math.inf})
    assert main(["triggers", "-p", "gone", "--state", "done"]) == 0
    assert main(["ledger", "-p", "gone"]) == 0
    capsys.readouterr()
    assert main(["triggers", "--json"]) == 0
    said = capsys.readouterr().out
    assert "Infinity" not in said
    assert json.loads(said)[0]["evidence"] == {"psi": None}


def test_json_has_no_word_for_what_is_no_number(capsys: pytest.CaptureFixture[str]) -> None:
    console.as_json(
        {"a": [math.nan, (-math.inf, 1.5)], "b": {"c": math.inf, "d": None}, "e": "NaN"}
    )
    told = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert told == {"a": [None, [None, 1.5]], "b": {"c": None, "d": None}, "e": "NaN"}
