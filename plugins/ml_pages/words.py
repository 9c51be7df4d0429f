"""How moments, numbers and names are written on all pages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

STEPS = ((86400, "d"), (3600, "h"), (60, "min"))
DIGITS = 3


def moment(text: str) -> datetime:
    """Read an ISO 8601 moment; without a zone it is UTC."""
    read = datetime.fromisoformat(text)
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read.astimezone(UTC)


def day(text: str) -> str:
    """Give the day of an ISO 8601 moment."""
    return text[:10]


def minute(text: str) -> str:
    """Give an ISO 8601 moment to the minute, such as `2013-01-01 07:30`."""
    return text[:16].replace("T", " ")


def window(start: str, end: str) -> str:
    """Give a window by its first and its last day, such as `2013-01-01 to 01-07`."""
    last = moment(end) - timedelta(microseconds=1)
    same = start[:4] == f"{last:%Y}"
    if start[:10] == f"{last:%Y-%m-%d}":
        return start[:10]
    return f"{start[:10]} to {last:%m-%d}" if same else f"{start[:10]} to {last:%Y-%m-%d}"


def length(spell: timedelta) -> str:
    """Give how long something lasts, in its largest unit."""
    seconds = max(spell.total_seconds(), 0)
    for step, unit in STEPS:
        if seconds >= step:
            return f"{seconds / step:.0f} {unit}"
    return f"{seconds:.0f} s"


def ago(text: str, now: datetime) -> str:
    """Give how long ago a moment was."""
    return f"{length(now - moment(text))} ago"


def number(value: float | None) -> str:
    """Give a value, `-` where there is none."""
    if value is None:
        return "-"
    return f"{value:.{DIGITS}f}" if abs(value) < 100 else f"{value:,.1f}"


def signed(value: float | None) -> str:
    """Give a difference with its sign, `-` where there is none."""
    return "-" if value is None else f"{value:+.{DIGITS}f}"


def count(value: int | None) -> str:
    """Give a number of things, `-` where it is not known."""
    return "-" if value is None else f"{value:,}"


def plural(number_of: int, thing: str) -> str:
    """Give a number of things with their name."""
    return f"{number_of:,} {thing}{'' if number_of == 1 else 's'}"


def percent(share: float | None) -> str:
    """Give a share in per cent, small ones too; `-` where there is none."""
    if share is None:
        return "-"
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def short(text: str, most: int = 120) -> str:
    """Give the beginning of a text that is too long for a line."""
    return text if len(text) <= most else f"{text[: most - 1]}…"
