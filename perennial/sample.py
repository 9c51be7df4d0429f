"""Reads the data that a product is to be made from, as its source will read it."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from ml_tasks import config
from ml_tasks.errors import BackendError, ConfigError
from ml_tasks.io.content import plain
from ml_tasks.result import Window
from perennial import kinds

if TYPE_CHECKING:
    from collections.abc import Sequence

    import polars as pl

    from ml_tasks.config import Environment
    from ml_tasks.sources.delivery import Delivery

EVER = Window.parse("1900-01-01/2200-01-01")
"""All rows of a database; a glob without dates asks for no window."""
DELIMITERS = ",;\t|"
TEXTS = (".csv", ".tsv", ".txt")
KINDS = {
    **{f"{ending}{packed}": "csv" for ending in TEXTS for packed in ("", ".gz")},
    ".parquet": "parquet",
    ".pq": "parquet",
}


@dataclass(frozen=True, slots=True)
class Rows:
    """The data as it lies there."""

    kind: str
    params: dict[str, Any]
    deliveries: tuple[Delivery, ...]
    frame: pl.DataFrame
    """All rows; text where the files say no more."""


def look(environment: Environment, source: str, query: str = "") -> Rows:
    """Read the files of a path, folder or glob, or the answer of a query.

    Args:
        environment: Says how a store is reached.
        source: A path, or an address.
        query: A SELECT with `:start` and `:end`, where the address is that of a database.

    Raises:
        ConfigError: There is no data, or what there is cannot be read.
        BackendError: Its store does not answer.
    """
    if "://" in source and not source.startswith(("file://", "s3://")):
        return _answer(source, query)
    if query:
        raise ConfigError(
            f"--query: came {query!r} with --source {source}, wanted the address of a database, "
            "such as postgresql://user@host/name"
        )
    address, ending = _address(source)
    try:
        return _files(environment, source, address, KINDS[ending])
    except ValidationError as fault:
        raise ConfigError(config.explain(fault, f"--source {source}")) from fault
    except OSError as fault:
        raise BackendError(f"--source {source}: cannot be read: {fault}") from fault


def _answer(url: str, query: str) -> Rows:
    from ml_tasks.sources import sql

    if not query:
        raise ConfigError(
            f"--source {url.split('://')[0]}://…: files lie at file:// or s3://; of a database "  # noqa: S608 - shown, not run
            "came no --query, wanted a SELECT with :start and :end, such as 'SELECT * FROM orders "
            "WHERE ordered_at >= :start AND ordered_at < :end'"
        )
    try:
        params = sql.Params(url=url, query=query)
    except ValidationError as fault:
        raise ConfigError(config.explain(fault, "--source and --query", sql.Params)) from fault
    found = tuple(sql.answer(params, EVER))
    return Rows("sql", {"url": url, "query": query}, found, _together("--query", found))


def _files(environment: Environment, source: str, address: str, kind: str) -> Rows:
    from ml_tasks.sources import csv, files, parquet

    glob = re.sub(r"{.*?}", "*", address)
    params: dict[str, Any] = {"path": address}
    files.FileParams.model_validate(params)
    if kind == "parquet":
        found = list(files.read(glob, EVER, environment, parquet.decode))
        return Rows(kind, params, tuple(found), _together(source, found))
    params |= _delimiter(environment, glob)
    decode = partial(csv.decode, params=csv.Params.model_validate(params))
    found = list(files.read(glob, EVER, environment, decode))
    frame = _together(source, found)
    if words := kinds.null_words(frame):
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
            endings = sorted({_ending(p.name) for p in place.iterdir()} & set(KINDS))
            if len(endings) != 1:
                raise ConfigError(
                    f"--source {source}: a folder with files of {endings or 'no known kind'}, "
                    f"wanted one kind of {sorted(KINDS)}, or a glob"
                )
            place /= f"*{endings[0]}"
        source = f"file://{place}".replace("%", "%25")
    ending = _ending(source)
    if ending not in KINDS:
        raise ConfigError(f"--source {source}: came {ending!r}, wanted one of {sorted(KINDS)}")
    return source, ending


def _ending(name: str) -> str:
    """Give a name's ending, with `.gz` behind it where the file is packed."""
    plain = name.lower().removesuffix(".gz")
    return Path(plain).suffix + (".gz" if name.lower().endswith(".gz") else "")


def _delimiter(environment: Environment, glob: str) -> dict[str, str]:
    """Guess what stands between values: what the first line has most of."""
    from ml_tasks.sources import csv, files

    heads: list[str] = []

    def keep(data: bytes) -> tuple[tuple[()], tuple[()]]:
        heads.append(csv.plain(data).split(b"\n", 1)[0].decode())
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
        which = f"{faults[0].uri}: " if len(found) > 1 else ""
        raise ConfigError(f"--source {source}: {which}cannot be read: {faults[0].fault}")
    frames = []
    for one in found:
        names = one.batches[0].schema.names if one.batches else []
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ConfigError(f"{one.uri}: columns {twice} come twice; rename them in the data")
        if one.batches:
            frames.append(pl.DataFrame(pl.from_arrow(plain(pa.Table.from_batches(one.batches)))))
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
