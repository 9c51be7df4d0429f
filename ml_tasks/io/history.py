"""Features of entity rows that come in batches, as many as there may be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ml_tasks.errors import ConfigError
from ml_tasks.io import features

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    import pyarrow as pa
    from feast import FeatureStore


def in_batches(
    opened: FeatureStore, refs: Sequence[str], batches: Iterable[pa.RecordBatch]
) -> Iterator[pa.RecordBatch]:
    """Join entity rows as `features.historical` does, in memory that does not grow with them.

    Of each view is read what can answer a batch: of rows that come in the order of their times
    each file is read about once.

    Args:
        opened: Pins the features' tables, so that all batches are answered from the same rows.
        refs: `view:feature` of each.
        batches: Keys, request columns and `event_timestamp`, in batches of any size.

    Yields:
        Each batch's columns and, for each of its rows in order, the features.

    Raises:
        ConfigError: A table is not pinned.
    """
    import pyarrow as pa

    tables = {f"features.{view}" for view in features.below(refs)}
    if loose := sorted(tables - set(opened.config.offline_store.snapshots)):
        raise ConfigError(
            f"features in batches: came a store that reads {', '.join(loose)} as "
            "they are at each batch, wanted one that pins each table; open it with their snapshots"
        )
    names = features.columns(refs)
    for batch in batches:
        found = features.historical(opened, refs, batch.to_pandas())
        columns = [found[name].combine_chunks() for name in names]
        yield pa.record_batch([*batch.columns, *columns], names=[*batch.schema.names, *names])
