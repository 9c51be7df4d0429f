"""Looks at data and writes a pipeline's YAML that runs; what it guessed is marked."""

from __future__ import annotations

import os
import re
import uuid
from contextlib import ExitStack
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from ml_tasks import config
from ml_tasks.config.wording import SLUG
from ml_tasks.errors import BackendError, ConfigError, ExitCode
from ml_tasks.io.backend import NO_LINKS
from ml_tasks.result import Window
from perennial import candidates, console, guesses, kinds
from perennial.given import environment
from perennial.product_text import Draft, render
from perennial.sample import EVER, look

if TYPE_CHECKING:
    from pathlib import Path

    import polars as pl

    from ml_tasks.config import Environment, Pipeline
    from perennial.sample import Rows

TOLD = ("label", "event_time", "key", "known_at", "task")


@dataclass(frozen=True, slots=True)
class Wish:
    """What a person asked for; empty is guessed."""

    name: str
    source: str
    label: str = ""
    event_time: str = ""
    key: tuple[str, ...] = ()
    known_at: str = ""
    """When the label became known."""
    task: str = ""
    positive: str = ""
    query: str = ""
    """What is asked of a database."""


def command(
    name: Annotated[str, typer.Argument(help="Its name: lower case letters, digits and _.")],
    source: Annotated[
        str,
        typer.Option(
            help="CSV (packed or not) or Parquet: a file, a folder, a glob; file:// or s3://. "
            "Or a database: its SQLAlchemy address, with --query."
        ),
    ],
    query: Annotated[
        str, typer.Option(help="SELECT with :start and :end, what a database is asked.")
    ] = "",
    label: Annotated[str, typer.Option(help="Column that is to be predicted.")] = "",
    event_time: Annotated[str, typer.Option(help="Column that says when a row happened.")] = "",
    key: Annotated[
        list[str] | None, typer.Option(help="Column that names a row; once for each.")
    ] = None,
    known_at: Annotated[
        str, typer.Option(help="Column that says when the label became known.")
    ] = "",
    task: Annotated[str, typer.Option(help="classification or regression.")] = "",
    positive: Annotated[str, typer.Option(help="Value of the label that is the yes.")] = "",
) -> int:
    """Look at data and write a pipeline's YAML that runs, with what was guessed marked."""
    told = (label, event_time, tuple(key or ()), known_at, task, positive, query)
    return run(environment(), Wish(name, source, *told))


def run(environment: Environment, wish: Wish) -> int:
    """Write the YAML and say what to do next.

    Raises:
        ConfigError: There is such a product, or the data cannot be guessed from; says what to tell.
        BackendError: The data cannot be reached.
    """
    path = environment.pipelines / f"{wish.name}.yaml"
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,62}", wish.name):
        raise ConfigError(f"name: came {wish.name!r}, wanted {SLUG}")
    if path.exists():
        raise ConfigError(f"{path}: there is such a product already; choose another name")
    if wish.task not in ("", "classification", "regression"):
        raise ConfigError(f"--task: came {wish.task!r}, wanted classification or regression")
    rows = look(environment, wish.source, wish.query)
    made = draft(rows, wish)
    text, calendar = render(made), made.calendar
    pipeline = config.parse(text, path)
    good, bad, reason = _fitting(pipeline, rows, Window.parse(f"{calendar.start}/{calendar.until}"))
    tolerated = pipeline.validation.tolerated_bad_share
    if bad > tolerated * (good + bad):
        raise ConfigError(
            f"{bad} of {good + bad} rows would go to quarantine, tolerated are {tolerated:.0%}; "
            f"the first: {reason}; mend the data"
        )
    _write(environment, path, text)
    console.say(f"[green]{path}[/green]: {good} rows of {calendar.start} to {calendar.end}")
    if bad:
        console.say(f"{bad} rows will go to quarantine; the first: {reason}")
    if made.beyond:
        console.say(f"{made.beyond} rows are of no window: their times lie beyond {EVER}")
    for line in text.splitlines():
        if "# guessed" in line or "# left out" in line:
            console.plain(f"  {line.strip()}")
    window = f"{calendar.start}/{calendar.until}"
    console.plain(
        f"\nread it, mend what was guessed wrongly, then:\n"
        f"  perennial config check {wish.name}\n"
        f"  perennial up\n"
        f"  perennial run ingestion -p {wish.name} --window {window}\n"
        f"  perennial run training -p {wish.name}\n"
        f"or let Airflow do both, window by window:\n"
        f"  perennial demo -p {wish.name} --until {calendar.until}"
    )
    return ExitCode.OK


def draft(rows: Rows, wish: Wish) -> Draft:
    """Guess all that was not told.

    Raises:
        ConfigError: Something cannot be guessed; says what to tell.
    """
    import polars as pl

    from ml_tasks.io.engine import evaluate
    from ml_tasks.sources.schema import typed

    known = kinds.of(rows.frame)
    event = guesses.event_time(rows.frame, known, wish.event_time, wish.known_at)
    known[event] = "timestamp"
    read = rows.frame.select(typed(rows.frame, name, kind) for name, kind in known.items())
    timed = read.height - read[event].null_count()
    read = guesses.within(rows.frame, read, event)
    asked = guesses.label(read, known, wish.label, positive=wish.positive, task=wish.task)
    key = guesses.key(read, known, event, asked.column, wish.key)
    answers = evaluate(read.to_arrow(), {"label": asked.expression})
    labels = pl.DataFrame(pl.from_arrow(answers))["label"].cast(pl.Float64)
    kept, left_out = candidates.features(read, known, asked, labels, event=event, key=key)
    made = Draft(
        name=wish.name,
        kind=rows.kind,
        params=rows.params,
        kinds=known,
        event_time=event,
        label_known_at=wish.known_at or event,
        key=key,
        twice=guesses.repeated(read, key),
        asked=asked,
        features=kept,
        left_out=left_out,
        segments=[n for n in kept if candidates.is_segment(read[n])][:2],
        spread=float(labels.fill_nan(None).std(ddof=0) or 0.0),  # type: ignore[arg-type]
        calendar=guesses.calendar(read[event]),
        rows=read.height,
        beyond=timed - read.height,
        told=frozenset(n for n in TOLD if getattr(wish, n)),
    )
    _parts(read[event], labels, made)
    return made


def _parts(times: pl.Series, labels: pl.Series, made: Draft) -> None:
    """Make sure that each part of the set has something to learn from or to judge by."""
    import polars as pl

    from ml_tasks.assemble import ranges
    from ml_tasks.config import Split

    cut = made.calendar
    split = Split(
        validation_days=cut.validation_days, test_days=cut.test_days, gap_days=cut.gap_days
    )
    both = pl.DataFrame({"time": times, "label": labels}).drop_nulls()
    window = Window.parse(f"{cut.start}/{cut.until}")
    for name, part in ranges(window, split).items():
        inside = both.filter(pl.col("time") >= part.start, pl.col("time") < part.end)
        if inside["label"].n_unique() < 2:
            raise ConfigError(
                f"{inside.height} rows of {part} would be the {name} part, with "
                f"{inside['label'].n_unique()} different labels, wanted 2 at least: the rows or "
                "the labels lie too unevenly in time; wanted more days of data"
            )


def _write(environment: Environment, path: Path, text: str) -> None:
    """Write the file and hold it against all that `perennial config check` knows.

    The check reads it where it lies, beside the other products; whatever ends it takes it away.
    """
    from perennial import check

    draft = path.with_name(f".{path.name}.{uuid.uuid4().hex}")
    with ExitStack() as always, ExitStack() as undo:
        # Before each is there: an interruption may come at any moment.
        always.callback(draft.unlink, missing_ok=True)
        undo.callback(_take_back, path, draft)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft.write_text(text, encoding="utf-8")
            _place(draft, path, undo)
        except FileExistsError:
            raise ConfigError(f"{path}: somebody else wrote it meanwhile") from None
        except OSError as fault:
            raise BackendError(f"{path}: cannot be written: {fault}") from fault
        if faults := check.look(environment, [path.stem])[path.stem]:
            raise ConfigError("\n".join(faults))
        undo.pop_all()


def _place(draft: Path, path: Path, undo: ExitStack) -> None:
    """Let the draft be the file, whole from its first moment where the disk has links."""
    try:
        os.link(draft, path)
    except OSError as fault:
        if fault.errno not in NO_LINKS:
            raise
        with path.open("x", encoding="utf-8") as file:
            undo.callback(path.unlink, missing_ok=True)
            file.write(draft.read_text(encoding="utf-8"))


def _take_back(path: Path, draft: Path) -> None:
    if path.exists() and draft.exists() and path.samefile(draft):
        path.unlink()


def _fitting(pipeline: Pipeline, rows: Rows, window: Window) -> tuple[int, int, str]:
    """Hold all rows against the schema as ingest will; give good and bad ones, and a reason."""
    from ml_tasks.sources.schema import enforce

    good, bad, reason = 0, 0, ""
    for delivery in rows.deliveries:
        fit, rejected = enforce(pipeline.sources[pipeline.label.source], delivery, window)
        good, bad = good + fit.height, bad + len(rejected)
        reason = reason or (rejected[0].reason if rejected else "")
    return good, bad, reason
