"""A row on its way into an online store, and its times as both stores compare them."""

from __future__ import annotations

from datetime import UTC, datetime

from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value

Row = tuple[EntityKey, dict[str, Value], datetime, datetime | None]
"""Key, features, event time, and when it was known; without that, at its event."""


def utc(moment: datetime) -> datetime:
    """Give a moment in UTC, which is what Feast means by one without a zone."""
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
