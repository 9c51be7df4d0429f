"""Looks at data and writes a pipeline's YAML that runs; what it guessed is marked."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ml_tasks import config
from ml_tasks.errors import BackendError, ConfigError, ExitCode
from ml_tasks.result import Window
from perennial import check, console, guesses, kinds
from perennial.product_text import Draft, render

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from ml_tasks.config import Environment, Pipeline
    from ml_tasks.sources.delivery import Delivery

TOLD = ("label", "event_time", "key", "known_at", "task")
EVER = Window.parse("1970-01-01/1970-01-02")
"""A glob without dates asks for no window."""
DELIMITERS = ",;\t|"
KINDS = {".csv": "csv", ".tsv": "csv", ".txt": "csv", ".parquet": "parquet", ".pq": "parquet"}


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


@dataclass(frozen=True, slots=True)
class Rows:
    """The data as it lies there."""

    kind: str
    params: dict[str, Any]
    deliveries: tuple[Delivery, ...]
    frame: pl.DataFrame
    """All rows; text where the files say no more."""


def run(environment: Environment, wish: Wish) -> int:
    """Write the YAML and say what to do next.

    Raises:
        ConfigError: There is such a product, or the data cannot be guessed from; says what to tell.
        BackendError: The data cannot be reached.
    """
    path = environment.pipelines / f"{wish.name}.yaml"
    if not re.fullmatch(r"[a-z][a-z0-9_]{1,62}", wish.name):
        raise ConfigError(f"name: came {wish.name!r}, wanted lower case letters, digits and _")
    if path.exists():
        raise ConfigError(f"{path}: there is such a product already; choose another name")
    if wish.task not in ("", "classification", "regression"):
        raise ConfigError(f"--task: came {wish.task!r}, wanted classification or regression")
    rows = look(environment, wish.source)
    made = draft(rows, wish)
    text, calendar = render(made), made.calendar
    pipeline = config.parse(text, path)
    _write(environment, path, text)
    good, bad, reason = _fitting(pipeline, rows, Window.parse(f"{calendar.start}/{calendar.until}"))
    console.say(f"[green]{path}[/green]: {good} rows of {calendar.start} to {calendar.end}")
    if bad:
        console.say(f"{bad} rows will go to quarantine; the first: {reason}")
    for line in text.splitlines():
        if "# guessed" in line:
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


def look(environment: Environment, source: str) -> Rows:
    """Read the files of a path, folder or glob.

    Raises:
        ConfigError: There are none, or they are neither CSV nor Parquet, or hold no rows.
        BackendError: Their store does not answer.
    """
    from ml_tasks.sources import csv, files, parquet

    address, ending = _address(source)
    kind = KINDS[ending]
    glob = re.sub(r"{.*?}", "*", address)
    params: dict[str, Any] = {"path": address}
    try:
        files.FileParams.model_validate(params)
        if kind == "parquet":
            found = list(files.read(glob, EVER, environment, parquet.decode))
        else:
            params |= _delimiter(environment, glob)
            decode = partial(csv.decode, params=csv.Params.model_validate(params))
            found = list(files.read(glob, EVER, environment, decode))
    except ValidationError as fault:
        raise ConfigError(config.explain(fault, f"--source {source}")) from fault
    except OSError as fault:
        raise BackendError(f"--source {source}: cannot be read: {fault}") from fault
    frame = _together(source, found)
    if kind == "csv" and (words := kinds.null_words(frame)):
        import polars as pl

        params["null_values"] = ["", *words]
        texts = pl.col(pl.String)
        frame = frame.with_columns(pl.when(~texts.is_in(list(words))).then(texts))
        decode = partial(csv.decode, params=csv.Params.model_validate(params))
        found = list(files.read(glob, EVER, environment, decode))
    return Rows(kind, params, tuple(found), frame)


def _address(source: str) -> tuple[str, str]:
    """Give an address that the file sources take, and its ending."""
    if "://" not in source:
        place = Path(source).expanduser().absolute()
        if place.is_dir():
            endings = sorted({p.suffix for p in place.iterdir()} & set(KINDS))
            if len(endings) != 1:
                raise ConfigError(
                    f"--source {source}: a folder with files of {endings or 'no known kind'}, "
                    f"wanted one kind of {sorted(KINDS)}, or a glob"
                )
            place /= f"*{endings[0]}"
        source = f"file://{place}".replace("%", "%25")
    ending = Path(source).suffix.lower()
    if ending not in KINDS:
        raise ConfigError(f"--source {source}: came {ending!r}, wanted one of {sorted(KINDS)}")
    return source, ending


def _delimiter(environment: Environment, glob: str) -> dict[str, str]:
    """Guess what stands between values: what the first line has most of."""
    from ml_tasks.sources import files

    heads: list[str] = []

    def keep(data: bytes) -> tuple[tuple[()], tuple[()]]:
        heads.append(data.split(b"\n", 1)[0].decode())
        return (), ()

    next(files.read(glob, EVER, environment, keep), None)
    if not heads:
        return {}
    best = max(DELIMITERS, key=heads[0].count)
    return {} if best == "," else {"delimiter": best}


def _together(source: str, found: Sequence[Delivery]) -> pl.DataFrame:
    import polars as pl
    import pyarrow as pa

    if not found:
        raise ConfigError(f"--source {source}: no file lies there")
    if faults := [d for d in found if d.fault is not None]:
        raise ConfigError(f"--source {source}: {faults[0].uri} cannot be read: {faults[0].fault}")
    frames = []
    for one in found:
        names = one.batches[0].schema.names if one.batches else []
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"{one.uri}: columns {twice} come twice; rename them in the data")
        if one.batches:
            frames.append(pl.DataFrame(pl.from_arrow(pa.Table.from_batches(one.batches))))
    if not sum(frame.height for frame in frames):
        broken = [
            f"; {len(d.broken)} lines are none: {d.broken[0].reason}" for d in found if d.broken
        ]
        raise ConfigError(
            f"--source {source}: {len(found)} files without a row{''.join(broken[:1])}"
        )
    try:
        return pl.concat(frames, how="diagonal_relaxed")
    except pl.exceptions.PolarsError as fault:
        raise ConfigError(f"--source {source}: the files differ in their types: {fault}") from fault


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
    read = read.filter(pl.col(event).is_not_null())
    asked = guesses.label(read, known, wish.label, positive=wish.positive, task=wish.task)
    if unknown := sorted(set(wish.key) - set(known)):
        raise ConfigError(f"--key: came {unknown}, wanted some of {list(known)}")
    key = wish.key or guesses.key(read, known, event, asked.column)
    answers = evaluate(read.to_arrow(), {"label": asked.expression})
    labels = pl.DataFrame(pl.from_arrow(answers))["label"].cast(pl.Float64)
    kept, left_out = guesses.features(read, known, asked, labels, event)
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
        segments=[n for n in kept if guesses.is_segment(read[n])][:2],
        calendar=guesses.calendar(read[event]),
        rows=read.height,
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
    """Write the file and hold it against all that `perennial config check` knows."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x") as file:
            file.write(text)
    except FileExistsError:
        raise ConfigError(f"{path}: somebody else wrote it meanwhile") from None
    except OSError as fault:
        raise BackendError(f"{path}: cannot be written: {fault}") from fault
    faults = check.look(environment, [path.stem])[path.stem]
    if faults:
        path.unlink()
        raise ConfigError("\n".join(faults))


def _fitting(pipeline: Pipeline, rows: Rows, window: Window) -> tuple[int, int, str]:
    """Hold all rows against the schema as ingest will; give good and bad ones, and a reason."""
    from ml_tasks.sources.schema import enforce

    good, bad, reason = 0, 0, ""
    for delivery in rows.deliveries:
        fit, rejected = enforce(pipeline.sources[pipeline.label.source], delivery, window)
        good, bad = good + fit.height, bad + len(rejected)
        reason = reason or (rejected[0].reason if rejected else "")
    return good, bad, reason
