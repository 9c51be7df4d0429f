"""Dated globs of files: which files may hold a window, and when each landed."""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote

from pydantic import BaseModel, ConfigDict, field_validator

from ml_tasks.io import objects
from ml_tasks.result import Window
from ml_tasks.sources.delivery import Delivery

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    import pyarrow as pa

    from ml_tasks.config import Environment
    from ml_tasks.sources.delivery import BrokenRow

    Decoded = tuple[tuple[pa.RecordBatch, ...], tuple[BrokenRow, ...]]
    Decode = Callable[[bytes], Decoded]
    DecodeOpen = Callable[[pa.NativeFile], Decoded]

_FIELDS = {"date": "%Y-%m-%d", "year": "%Y", "month": "%m", "day": "%d", "hour": "%H"}
_LANDED = re.compile(
    r"landed=(?P<time>(?>(?:\d{4}-\d\d-\d\d|\d{8})"
    r"(?P<clock>[T ]\d\d(?::?\d\d(?::?\d\d(?:[.,]\d+)?)?)?(?P<zone>Z|[+-]\d\d(?::?\d\d)?)?)?)?)"
    r"(?P<rest>[^/]*)"
)
"""A time, and what comes after it in the name."""
_GOES_ON = r"[0-9A-Za-z:+]"
"""After a time it would be a part of one: of a whole one, of one without a zone, of a day."""
_OF_A_CLOCK = re.compile(rf"{_GOES_ON}|[.,-]\d")
_OF_A_DAY = re.compile(rf"{_GOES_ON}| \d|[_-]\d\d[-:.h]\d\d")
_OF_A_ZONE = re.compile(_GOES_ON)


class FileParams(BaseModel):
    """Where a source's files lie."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)

    path: str
    """`file://` or `s3://` glob, or one below the landing zone. `{date}`, `{year}`, `{month}`,
    `{day}` and `{hour}` are filled from the window in UTC; `*` stays in a folder, `**` does not."""

    @field_validator("path")
    @classmethod
    def _known_fields(cls, path: str) -> str:
        if unknown := sorted(set(re.findall(r"{(.*?)}", path)) - set(_FIELDS)):
            raise ValueError(f"path with only {sorted(_FIELDS)} in braces, not {unknown}")
        if "://" in path and not path.startswith(("file://", "s3://")):
            raise ValueError("path of file:// or s3://")
        return path


def read(
    path: str,
    window: Window,
    environment: Environment,
    decode: Decode,
    *,
    as_declared: DecodeOpen | None = None,
) -> Iterator[Delivery]:
    """Give the files of a dated glob that may hold the window, by landing time.

    Args:
        path: The glob.
        window: Fills its date fields.
        environment: Where the landing zone is.
        decode: Reads any file.
        as_declared: Reads a file in which all is as it should be, part by part, and is tried first.
    """
    glob = glob_of(path, environment)
    # Globs and landing times are written plainly, addresses of local files are quoted.
    local = glob.startswith("file:")
    glob = unquote(glob) if local else glob
    found: dict[str, tuple[datetime, Window | None]] = {}
    for pattern, covers in expand(glob, window):
        matches = _translate(pattern)
        folder = _folder(pattern)
        for item in objects.find(quote(folder, safe="/:") if local else folder):
            plain = unquote(item.uri) if local else item.uri
            if matches.fullmatch(plain):
                try:
                    found[item.uri] = (landed_at(plain) or item.modified, covers)
                except ValueError as fault:
                    why = f"its name has no landing time in ISO 8601: {fault}"
                    yield Delivery(item.uri, item.modified, covers=covers, fault=why)
    for uri, (landed, covers) in sorted(found.items(), key=lambda f: (f[1][0], f[0])):
        yield _as_declared(uri, landed, covers, decode, as_declared)


def glob_of(path: str, environment: Environment) -> str:
    """Give the whole glob of a path, which may lie below the landing zone."""
    return path if "://" in path else f"{environment.landing_root}/{path}"


def expand(glob: str, window: Window) -> list[tuple[str, Window | None]]:
    """Fill a glob's date fields: each pattern with the range it stands for."""
    fields = set(re.findall(r"{(.*?)}", glob))
    if not fields:
        return [(glob, None)]
    patterns: list[tuple[str, Window | None]] = []
    moment = _floor(window.start, fields)
    while moment < window.end:
        following = _next(moment, fields)
        filled = {name: moment.strftime(form) for name, form in _FIELDS.items()}
        text = re.sub(r"{(.*?)}", partial(_fill, filled), glob)
        patterns.append((text, Window(start=moment, end=following)))
        moment = following
    return patterns


def landed_at(uri: str) -> datetime | None:
    """Read the landing time out of an address; `None` when it has none.

    Raises:
        ValueError: It has one that is no time.
    """
    match = _LANDED.search(unquote(uri))  # Hive writes %3A for the colon in a folder's name
    if match is None:
        return None
    goes_on = _OF_A_ZONE if match["zone"] else _OF_A_CLOCK if match["clock"] else _OF_A_DAY
    if not match["time"] or goes_on.match(match["rest"]):
        raise ValueError(f"came {match[0]!r}, wanted such as landed=2024-01-31T06:00:00Z")
    time = datetime.fromisoformat(match["time"])
    try:
        return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)
    except OverflowError as fault:
        raise ValueError(f"came {match[0]!r}, wanted a time of the years 1 to 9999") from fault


def named(names: Sequence[str]) -> list[str]:
    """Give the names of a file's columns where a table can have them.

    Raises:
        ArrowInvalid: One comes twice, or has a zero byte.
    """
    import pyarrow as pa

    # polars calls a column without a name by its place.
    called = Counter(name or f"column_{place}" for place, name in enumerate(names))
    if twice := sorted(name for name, times in called.items() if times > 1):
        raise pa.ArrowInvalid(f"columns {twice} come twice; rename them in the data")
    if wrong := [name for name in names if "\0" in name]:
        raise pa.ArrowInvalid(
            f"columns {wrong} have a zero byte in their names; rename them in the data"
        )
    return list(names)


def _fill(values: dict[str, str], match: re.Match[str]) -> str:
    return values[match[1]]


def _floor(moment: datetime, fields: set[str]) -> datetime:
    moment = moment.astimezone(UTC).replace(minute=0, second=0, microsecond=0)
    if "hour" in fields:
        return moment
    moment = moment.replace(hour=0)
    if fields & {"date", "day"}:
        return moment
    return moment.replace(day=1) if "month" in fields else moment.replace(month=1, day=1)


def _next(moment: datetime, fields: set[str]) -> datetime:
    if "hour" in fields:
        return moment + timedelta(hours=1)
    if fields & {"date", "day"}:
        return moment + timedelta(days=1)
    return _floor(moment + timedelta(days=32 if "month" in fields else 366), fields)


def _folder(pattern: str) -> str:
    """Give the deepest folder of a pattern that holds no wildcard."""
    fixed = re.split(r"[*?]", pattern, maxsplit=1)[0]
    return fixed.rsplit("/", 1)[0]


def _translate(pattern: str) -> re.Pattern[str]:
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", pattern)
    wild = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(wild.get(p) or re.escape(p) for p in parts))


def _as_declared(
    uri: str,
    landed: datetime,
    covers: Window | None,
    decode: Decode,
    as_declared: DecodeOpen | None,
) -> Delivery:
    as_text = partial(_open, uri, landed, covers, lambda: decode(objects.read_bytes(uri)))
    if as_declared is None:
        return as_text()

    def declared() -> Decoded:
        with objects.opened(uri) as file:
            return as_declared(file)

    found = _open(uri, landed, covers, declared)
    return as_text() if found.fault else replace(found, as_text=as_text)


def _open(
    uri: str, landed: datetime, covers: Window | None, read: Callable[[], Decoded]
) -> Delivery:
    import pyarrow as pa

    try:
        batches, broken = read()
    except UnicodeDecodeError as fault:
        line = fault.object.count(b"\n", 0, fault.start) + 1
        why = f"no UTF-8 text: byte {fault.object[fault.start]:#04x} in line {line}"
        return Delivery(uri, landed, covers=covers, fault=why)
    except (pa.ArrowException, OSError) as fault:
        why = " ".join(str(fault).split())[:300]
        return Delivery(uri, landed, covers=covers, fault=why)
    return Delivery(uri, landed, batches, covers, broken)
