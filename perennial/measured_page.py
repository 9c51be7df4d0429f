"""Pages of the docs whose figures a command measures and writes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

END = "<!-- end -->"


def write(page: Path, begin: str, parts: Iterable[str]) -> None:
    """Put figures between the marks of a page: what it begins with there, and the end.

    Raises:
        ConfigError: The page has no such marks.
    """
    text = page.read_text()
    if begin not in text or END not in text:
        raise ConfigError(f"{page}: came without the marks {begin!r} and {END!r}; put them back")
    before, _, rest = text.partition(begin)
    measured, after = "\n\n".join(parts), rest.partition(END)[2]
    page.write_text(f"{before}{begin}\n\n{measured}\n\n{END}{after}")


def table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """Give a table as Markdown."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)
