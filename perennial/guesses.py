"""What can be told of typed rows by looking at them: time, key, label, features, calendar."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import UTC, datetime, time, timedelta
from typing import TYPE_CHECKING, Any, Literal

from ml_tasks.errors import ConfigError
from ml_tasks.gates import GATES
from ml_tasks.sources.schema import shown
from perennial.kinds import FIT
from perennial.sample import EVER

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    import polars as pl

REPEATED = 0.005
"""Largest share of rows that may bear the key of another one."""
EVENT_TIMES = ("event_time", "timestamp", "time", "datetime", "date", "ts", "at", "created_at")
LABELS = ("label", "target", "y", "class", "outcome")
NAMED = re.compile(r"(?i:id|uuid|key|.*[_ .-](id|uuid|key))|.*[a-z](Id|ID|Uuid|UUID|Key)")
"""Names of columns that name a row and say nothing else of it."""
CLASSES = 10
TEST_DAYS = max(gate.TEST_DAYS for gate in GATES.values())
WIDE = 12
"""So many columns are tried as parts of a key."""


def event_time(frame: pl.DataFrame, kinds: Mapping[str, str], given: str, known_at: str) -> str:
    """Give the column that says when each row happened.

    Args:
        frame: The rows.
        kinds: Types of the columns.
        given: What a person said it is; empty where it is to be guessed.
        known_at: What a person said of when the label became known.

    Raises:
        ConfigError: There is none, or there are several and none is named as such.
    """
    times = [name for name, kind in kinds.items() if kind.startswith("timestamp")]
    if known_at and known_at not in times:
        raise ConfigError(
            f"--known-at {known_at}: came {kinds.get(known_at, 'no column')}, wanted a column of "
            f"times, of {times}"
        )
    if given:
        if given not in times:
            such = f", such as {shown(frame[given].head(1)).to_list()}" if given in kinds else ""
            raise ConfigError(
                f"--event-time {given}: came {kinds.get(given, 'no column')}{such}, wanted a column"
                f" of times in ISO 8601, such as 2013-01-31T06:00:00Z or 2013-01-31; of {times}"
            )
        return given
    few = (1 - FIT) * frame.height
    filled = [n for n in times if n != known_at and frame[n].null_count() <= few]
    if not filled:
        came = (f"{n} ({k}, such as {shown(frame[n].head(1)).to_list()})" for n, k in kinds.items())
        raise ConfigError(
            f"no column says when a row happened: came {', '.join(came)}, wanted one of times in "
            "ISO 8601, such as 2013-01-31T06:00:00Z or 2013-01-31. Windows and the order of train, "
            "validation and test stand on it: add such a column to the data, if only the day on "
            "which each row was written down"
        )
    named = [n for wanted in EVENT_TIMES for n in filled if n.lower() == wanted]
    if len(filled) > 1 and not named:
        raise ConfigError(f"--event-time: several columns are times, wanted one of {filled}")
    return named[0] if named else filled[0]


def within(raw: pl.DataFrame, read: pl.DataFrame, event: str) -> pl.DataFrame:
    """Give the rows whose time a window can take in.

    Args:
        raw: The rows as they came.
        read: The same rows, typed.
        event: The column that says when each row happened.

    Raises:
        ConfigError: More rows than may go to quarantine have another time.
    """
    held = read[event].is_between(EVER.start, EVER.end, closed="left").fill_null(value=False)
    other = raw[event].filter(~held).drop_nulls()
    if len(other) > (1 - FIT) * raw.height:
        such = shown(other.head(1)).item()
        raise ConfigError(
            f"--event-time {event}: {len(other)} of {raw.height} values, such as {such}, are "
            f"no times of the years {EVER.start:%Y} to {EVER.end.year - 1}, tolerated are "
            f"{1 - FIT:.0%}; mend the data"
        )
    return read.filter(held)


def key(
    frame: pl.DataFrame,
    kinds: Mapping[str, str],
    event: str,
    label: str,
    given: tuple[str, ...] = (),
) -> tuple[str, ...]:
    """Give the columns that name a row: an id, the time, or the time and one or two more.

    Raises:
        ConfigError: No such choice names each row, or what a person said it is does not.
    """
    from itertools import combinations

    if given:
        return _hold(frame, kinds, given)
    parts = [
        n for n, k in kinds.items() if k in ("string", "int64", "bool") and n not in (event, label)
    ]
    ids = [n for n in parts if NAMED.fullmatch(n)]
    parts = sorted(parts, key=lambda n: n not in ids)[:WIDE]
    choices = [
        *((n,) for n in ids),
        (event,),
        *((event, n) for n in parts),
        *((event, *pair) for pair in combinations(parts, 2)),
        *((n,) for n in parts if n not in ids),
    ]
    for choice in choices:
        if repeated(frame, choice) <= REPEATED * frame.height:
            return choice
    raise ConfigError(
        f"--key: neither an id nor {event} with one or two of {parts} names each row once; wanted "
        "the columns that do, one --key each; where there are none, add the row's number to the "
        "data"
    )


def _hold(frame: pl.DataFrame, kinds: Mapping[str, str], given: tuple[str, ...]) -> tuple[str, ...]:
    """Hold a key that a person gave against the rows."""
    if unknown := sorted(set(given) - set(kinds)):
        raise ConfigError(f"--key: came {unknown}, wanted some of {list(kinds)}")
    if empty := [name for name in given if kinds[name].endswith("?")]:
        raise ConfigError(f"--key: {empty} are empty in some rows, wanted a value in each")
    if (twice := repeated(frame, given)) > REPEATED * frame.height:
        one = frame.filter(frame.select(given).is_duplicated()).select(given).row(0, named=True)
        raise ConfigError(
            f"--key {' and '.join(given)}: {twice} of {frame.height} rows bear the key of one "
            f"before, such as {one}; wanted columns that name each row once, one --key each"
        )
    return given


def repeated(frame: pl.DataFrame, names: Sequence[str]) -> int:
    """Give how many rows bear the key of one before."""
    return frame.height - frame.select(names).n_unique()


@dataclass(frozen=True, slots=True)
class Asked:
    """What is to be predicted."""

    column: str
    expression: str
    task: Literal["classification", "regression"]
    why: str


def label(
    frame: pl.DataFrame, kinds: Mapping[str, str], given: str, *, positive: str, task: str
) -> Asked:
    """Give the label as an SQL expression, and what kind of question it is.

    Raises:
        ConfigError: No column is named like a label, or its values are no answers to the task.
    """
    named = [n for wanted in LABELS for n in kinds if n.lower() == wanted]
    if not given and not named:
        raise ConfigError(
            f"--label: no column is named {', '.join(LABELS)}; wanted the one that is to be "
            f"predicted, of {list(kinds)}"
        )
    column = given or named[0]
    if column not in kinds or kinds[column].startswith("timestamp"):
        raise ConfigError(
            f"--label {column}: came {kinds.get(column, 'no column')}, wanted one of numbers, "
            f"bools or texts, of {list(kinds)}"
        )
    counts = frame[column].drop_nulls().value_counts(sort=True).rows()
    values = [value for value, _ in counts]
    if len(values) < 2:
        raise ConfigError(f"--label {column}: came {values} in every row, wanted different values")
    name, number = _quoted(column), not kinds[column].startswith(("string", "bool"))
    if positive:
        return _one_class(column, values, positive)
    if task == "regression" or (not task and number and len(values) > 2):
        if not number:
            raise ConfigError(f"--task regression: label {column} is {kinds[column]}, no number")
        return Asked(column, name, "regression", "its values are numbers")
    if len(values) > 2:
        raise ConfigError(
            f"--label {column}: came {len(values)} values, wanted a yes or no: which of them is a "
            f"yes? --positive VALUE, of {values[:CLASSES]}"
        )
    if set(values) <= {0, 1}:
        return Asked(column, name, "classification", "it is 0 or 1")
    asked = _one_class(column, values, str(values[-1]))
    return Asked(column, asked.expression, asked.task, f"the rarer one of {values} is the yes")


def _one_class(column: str, values: Sequence[Any], positive: str) -> Asked:
    chosen = next((v for v in values if str(v) == positive), None)
    if chosen is None:
        raise ConfigError(f"--positive: came {positive!r}, wanted one of {values[:CLASSES]}")
    text = "'" + chosen.replace("'", "''") + "'" if isinstance(chosen, str) else str(chosen)
    return Asked(column, f"{_quoted(column)} = {text}", "classification", f"{chosen!r} is the yes")


def _quoted(column: str) -> str:
    return '"' + column.replace('"', '""') + '"'


@dataclass(frozen=True, slots=True)
class Calendar:
    """Windows and parts of the data's range."""

    cron: str
    each: str
    start: date
    end: date
    """Day of the last row."""
    until: date
    """The end of the last window."""
    validation_days: int
    test_days: int
    gap_days: int


def calendar(times: pl.Series) -> Calendar:
    """Cut the range into windows, and its end into validation and test: 15 and 20 % of the rows.

    Raises:
        ConfigError: The range is too short.
    """
    from croniter import croniter

    ordered = times.drop_nulls().sort()
    first, last = (moment.astimezone(UTC) for moment in (ordered[0], ordered[-1]))
    days = (last - first).days + 1
    start, cron, each = _windows(first.date(), days)
    until = croniter(cron, last).get_next(datetime)
    begins = ordered[int(0.8 * len(ordered))], ordered[int(0.65 * len(ordered))]
    test = max(TEST_DAYS, math.ceil((until - begins[0]) / timedelta(days=1)))
    validation = max(1, math.ceil((until - begins[1]) / timedelta(days=1)) - test)
    gap = 1 if days >= 60 else 0
    if until - timedelta(days=test + validation + 2 * gap) <= datetime.combine(start, time(), UTC):
        raise ConfigError(
            f"the rows lie between {first:%Y-%m-%d} and {last:%Y-%m-%d}, too near to each other to "
            "learn from the earlier days and to judge by the later ones; wanted a longer range"
        )
    return Calendar(cron, each, start, last.date(), until.date(), validation, test, gap)


def _windows(first: date, days: int) -> tuple[date, str, str]:
    """Give the first window's start, when windows end, and that in words."""
    if days <= 31:
        return first, "0 0 * * *", "a day"
    if days <= 2 * 366:
        return first, f"0 0 * * {first.isoweekday() % 7}", "a week"
    if days <= 20 * 366:
        return first.replace(day=1), "0 0 1 * *", "a month"
    return first.replace(month=1, day=1), "0 0 1 1 *", "a year"
