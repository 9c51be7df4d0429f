"""What the documents tell people to type is there."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
import typer

from ml_tasks.config import ROOT
from perennial.__main__ import app

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
QUOTED = re.compile(r"`(?:\.venv/bin/)?perennial ([^`]+)`")
TYPED = re.compile(
    r"^(?:[A-Z_]+=\S+ )*(?:\.venv/bin/)?perennial (.+?)(?: +#.*| [|>].*)?$", re.MULTILINE
)
BLOCK = re.compile(r"```bash\n(.*?)```", re.DOTALL)
MADE = re.compile(r"(?:^|&& )make ([a-z0-9-]+)", re.MULTILINE)


def commands(page: Path) -> Iterator[list[str]]:
    """Give the words behind `perennial` wherever a page has it as code."""
    text = page.read_text()
    blocks = BLOCK.findall(text)
    found = QUOTED.findall(BLOCK.sub("", text))
    found += [said for block in blocks for said in TYPED.findall(block.replace("\\\n", " "))]
    for said in found:
        # What may be left out stands in brackets, and a quoted word is a value.
        yield re.sub(r"'[^']*'|\"[^\"]*\"", "VALUE", said).replace("[", "").replace("]", "").split()


def unknown(words: Sequence[str]) -> str:
    """Say what of a command line is not there; nothing where all of it is."""
    command: Any = typer.main.get_command(app)
    options = {"--help"}
    for number, word in enumerate(words):
        if word in getattr(command, "commands", {}):
            command = command.commands[word]
            options |= {name for one in command.params for name in one.opts + one.secondary_opts}
        elif number == 0 and not word.startswith("-"):
            return f"no command {word}"
        elif word.startswith("-") and word.partition("=")[0].rstrip(",;") not in options:
            return f"no option {word}"
    return ""


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_commands_are_there(page: Path) -> None:
    said = {" ".join(words): unknown(words) for words in commands(page)}
    assert {line: what for line, what in said.items() if what} == {}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_what_make_is_told_is_there(page: Path) -> None:
    text = page.read_text()
    named = set(re.findall(r"`make ([a-z0-9-]+)", text))
    named |= {name for block in BLOCK.findall(text) for name in MADE.findall(block)}
    targets = set(re.findall(r"^([a-z0-9-]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert named <= targets


@pytest.mark.parametrize(
    ("line", "what"),
    [("logs DAG --run RUN", ""), ("log DAG", "no command log"), ("logs -x", "no option -x")],
)
def test_what_is_not_there_is_found(line: str, what: str) -> None:
    assert unknown(line.split()) == what
