"""Writes all benches' results as one page."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from bench.measured import Measured
    from bench.section import Section

HEAD = """\
# Benchmarks

What we measure beside others, by `make bench`; one of them alone by
`.venv/bin/python -m bench NAME`. Ours and the peer's run in the same call, in turn where they are
short, and the table shows the medians. *Bound* is the largest ratio of ours to theirs that we
promise; a call that breaks one ends with code 1. Quality is measured [by itself](quality.md).
"""
COLUMNS = ("what", "ours", "beside", "theirs", "ratio", "bound", "kept")


def page(sections: Iterable[Section]) -> str:
    """Give the page in Markdown."""
    return "\n".join([HEAD, *(line for one in sections for line in _section(one))])


def _section(section: Section) -> list[str]:
    rows = [_row(one) for one in section.measured]
    notes = [f"- {one.what}: {one.note}" for one in section.measured if one.note]
    return [
        f"## {section.name}",
        "",
        section.prose,
        "",
        *_table([COLUMNS, *rows]),
        "",
        *([*notes, ""] if notes else []),
        circumstances(section.about),
        "",
    ]


def _table(rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [f"| {' | '.join(row)} |" for row in rows]
    return [lines[0], "|---" * len(rows[0]) + "|", *lines[1:]]


def _row(one: Measured) -> tuple[str, ...]:
    bound = "" if one.bound is None else number(one.bound)
    kept = "" if one.bound is None else "yes" if one.kept else "**no**"
    ours, theirs = (f"{number(value)} {one.unit}" for value in (one.ours, one.theirs))
    return (one.what, ours, one.peer, theirs, number(one.ratio), bound, kept)


def number(value: float) -> str:
    """Give three digits that count, whole numbers as such."""
    if value == round(value) or abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def circumstances(about: Mapping[str, Any]) -> str:
    """Say on what, when and with which versions something was measured."""
    packages = ", ".join(f"{name} {version}" for name, version in about["packages"].items())
    load = " ".join(f"{one:.2f}" for one in about["load"])
    return (
        f"*{about['date']}, commit {about['commit']}; {about['cores']} cores of {about['cpu']}, "
        f"{about['memory_gb']} GB, {about['system']}; load when it began {load}; "
        f"Python {about['python']}, {packages}.*"
    )
