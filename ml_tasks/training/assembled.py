"""The set that `assemble` made, as the tasks after it read it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ml_tasks.errors import ConfigError
from ml_tasks.io import objects, parquet
from ml_tasks.models import spec as specs

if TYPE_CHECKING:
    import polars as pl

    from ml_tasks.context import Context
    from ml_tasks.models.spec import Spec


@dataclass(frozen=True, slots=True)
class Assembled:
    """A set and what is said of it."""

    rows: pl.DataFrame
    content_hash: str
    about: dict[str, Any]
    """Its description: `task`, `label`, `numeric`, `categorical`, `segments`, `rows` by part."""

    @classmethod
    def of(cls, context: Context) -> Assembled:
        """Read the set of a task's run.

        Raises:
            ConfigError: `assemble` left none.
        """
        import polars as pl

        made, about = context.output("assemble", "set"), context.output("assemble", "description")
        if made.uri is None or about.uri is None:
            raise ConfigError("assemble's outputs are no objects; run assemble again")
        rows = pl.DataFrame(pl.from_arrow(parquet.read(made.uri)))
        return cls(rows, made.content_hash, json.loads(objects.read_text(about.uri)))

    @property
    def label(self) -> str:
        """Name of the label's column."""
        return str(self.about["label"])

    def part(self, *names: str) -> pl.DataFrame:
        """Give the rows of some parts, in the set's order: `train`, `validation`, `test`."""
        import polars as pl

        return self.rows.filter(pl.col("split").is_in(names))

    def spec(self, train: pl.DataFrame) -> Spec:
        """Learn scales and vocabularies from the rows of its training part."""
        return specs.fit(
            train,
            task=self.about["task"],
            numeric=tuple(self.about["numeric"]),
            categorical=tuple(self.about["categorical"]),
            label=self.label,
        )
