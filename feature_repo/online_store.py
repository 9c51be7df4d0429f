"""Feast's SQLite online store, where a key never goes back in time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from feast.infra.key_encoding_utils import serialize_entity_key
from feast.infra.online_stores.helpers import compute_table_id
from feast.infra.online_stores.sqlite import SqliteOnlineStore, SqliteOnlineStoreConfig

from feature_repo.online_row import utc

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import datetime

    from feast import FeatureView, RepoConfig

    from feature_repo.online_row import Row

TYPE = "feature_repo.online_store.ForwardSqliteOnlineStore"


class ForwardSqliteOnlineStoreConfig(SqliteOnlineStoreConfig):
    """Where the database lies."""

    type: Literal["feature_repo.online_store.ForwardSqliteOnlineStore"] = TYPE  # type: ignore[assignment]


class ForwardSqliteOnlineStore(SqliteOnlineStore):
    """Keeps of two rows of a key the newer event, and of one event's versions the later known.

    The order in which they are written does not count: a writer that was stopped, and goes on
    after its successor has finished, changes nothing.
    """

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Row],
        progress: Callable[[int], object] | None,
    ) -> None:
        """Write a view's rows, all or none, but for those of which a newer one is there.

        What the view no longer has goes: Feast tells a key's age by any of its features.
        """
        connection = self._get_conn(config)
        versions = config.registry.enable_online_feature_view_versioning
        name = compute_table_id(config.project, table, versions)
        kept = [feature.name for feature in table.features]
        marks = ", ".join("?" * len(kept))
        gone = f'DELETE FROM "{name}" WHERE feature_name NOT IN ({marks})'  # noqa: S608 - a view's name
        wanted = f'SELECT event_ts, created_ts FROM "{name}" WHERE entity_key = ? LIMIT 1'  # noqa: S608 - a view's name

        def is_news(row: Row) -> bool:
            key = serialize_entity_key(
                row[0], entity_key_serialization_version=config.entity_key_serialization_version
            )
            known = connection.execute(wanted, (key,)).fetchone()
            return known is None or _moment(row[2], row[3]) >= _moment(*known)

        ordered = sorted(data, key=lambda row: _moment(row[2], row[3]))
        # Feast's own writing ends the transaction: nobody writes between the look and the word.
        connection.execute("BEGIN IMMEDIATE")
        with connection:
            connection.execute(gone, kept)
            super().online_write_batch(
                config, table, [row for row in ordered if is_news(row)], progress
            )


def _moment(event: datetime, known: datetime | None) -> tuple[datetime, datetime]:
    return utc(event), utc(known or event)
