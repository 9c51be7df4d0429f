"""Readers of raw rows: a plug-in is a file here and one line in `SOURCES`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol, cast

from ml_tasks.config import hold
from ml_tasks.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pydantic import BaseModel

    from ml_tasks.config import Environment, Source
    from ml_tasks.result import Window
    from ml_tasks.sources.delivery import Delivery

SOURCES = {
    "nycflights13": "ml_tasks.sources.nycflights13",
    "parquet": "ml_tasks.sources.parquet",
    "csv": "ml_tasks.sources.csv",
    "sql": "ml_tasks.sources.sql",
}


class Reader(Protocol):
    """What each module of the table offers."""

    Params: type[BaseModel]

    def read(
        self, source: Source, params: BaseModel, window: Window, environment: Environment
    ) -> Iterator[Delivery]:
        """Give the deliveries that may hold rows of the window, unchecked."""
        ...

    def place(self, params: BaseModel, environment: Environment) -> str:
        """Say where deliveries are looked for."""
        ...


def reader(name: str, kind: str) -> Reader:
    """Import the reader of a source's kind.

    Raises:
        ConfigError: There is no such kind.
    """
    if kind not in SOURCES:
        raise ConfigError(f"sources.{name}.kind: came {kind!r}, wanted one of {sorted(SOURCES)}")
    return cast("Reader", importlib.import_module(SOURCES[kind]))


def params_of(name: str, source: Source) -> BaseModel:
    """Hold a source's parameters against its reader's model.

    Raises:
        ConfigError: They do not fit; one line a fault.
    """
    return hold(reader(name, source.kind).Params, source.params, f"sources.{name}.params")


def read(name: str, source: Source, window: Window, environment: Environment) -> Iterator[Delivery]:
    """Give a source's deliveries for a window, unchecked."""
    return reader(name, source.kind).read(source, params_of(name, source), window, environment)


def place(name: str, source: Source, environment: Environment) -> str:
    """Say where a source's deliveries are looked for."""
    return reader(name, source.kind).place(params_of(name, source), environment)
