"""Feast's Redis online store, where a key never goes back in time."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal

from feast.infra.online_stores.helpers import _mmh3, _redis_key, compute_versioned_name
from feast.infra.online_stores.redis import RedisOnlineStore, RedisOnlineStoreConfig
from google.protobuf.timestamp_pb2 import Timestamp  # type: ignore[import-untyped]
from redis import Redis
from redis import asyncio as redis_asyncio

from feature_repo.online_row import utc

if TYPE_CHECKING:
    from collections.abc import Callable

    from feast import FeatureView, RepoConfig
    from feast.protos.feast.types.Value_pb2 import Value

    from feature_repo.online_row import Row

TYPE = "feature_repo.redis_online_store.ForwardRedisOnlineStore"
TIMEOUT_SECONDS = 60
BEFORE_ALL = datetime(1, 1, 1, tzinfo=UTC)
FORWARD = """
local moment = redis.call('HGET', KEYS[1], ARGV[1])
if moment and moment > ARGV[2] then return 0 end
local written = {}
for at = 3, #ARGV, 2 do written[ARGV[at]] = true end
local before = redis.call('HGET', KEYS[1], ARGV[3]) or ''
for at = 1, #before, 4 do
  local field = before:sub(at, at + 3)
  if not written[field] then redis.call('HDEL', KEYS[1], field) end
end
redis.call('HSET', KEYS[1], ARGV[1], ARGV[2], unpack(ARGV, 3))
return 1
"""
"""Writes a view's row of a key, unless a newer one is there; features that it lacks go.

ARGV: the field of the view's moment, the moment, then each field and its value; the first of them
lists the features' fields, four bytes each.
"""


class ForwardRedisOnlineStoreConfig(RedisOnlineStoreConfig):
    """Where the server is."""

    type: Literal["feature_repo.redis_online_store.ForwardRedisOnlineStore"] = TYPE  # type: ignore[assignment]
    url: str
    """`redis://:password@host:port/0`, or `rediss://` for TLS."""


class ForwardRedisOnlineStore(RedisOnlineStore):
    """Keeps of two rows of a key the newer event, and of one event's versions the later known.

    The order in which they are written does not count, and nobody writes between the look and the
    word, as Feast's own store allows: it looks first and writes in a second call, and does not take
    a correction of the same event.
    """

    _client: Redis | None = None
    _client_async: redis_asyncio.Redis | None = None

    def online_write_batch(
        self,
        config: RepoConfig,
        table: FeatureView,
        data: list[Row],
        progress: Callable[[int], object] | None,
    ) -> None:
        """Write a view's rows, all or none, but for those of which a newer one is there."""
        client = self._get_client(config.online_store)
        view = compute_versioned_name(table, config.registry.enable_online_feature_view_versioning)
        forward = client.register_script(FORWARD)
        with client.pipeline(transaction=True) as pipe:
            for entity, values, event, known in data:
                key = _redis_key(
                    config.project,
                    entity,
                    entity_key_serialization_version=config.entity_key_serialization_version,
                )
                forward([key], _arguments(view, values, event, known), client=pipe)
            pipe.execute()
        if progress:
            progress(len(data))

    def delete_table(self, config: RepoConfig, table: FeatureView) -> None:
        """Remove a view's rows, and what tells how new they were."""
        super().delete_table(config, table)
        client = self._get_client(config.online_store)
        view = compute_versioned_name(table, config.registry.enable_online_feature_view_versioning)
        for key in client.scan_iter(b"*" + config.project.encode()):
            client.hdel(key, *_marks(view))

    def _get_client(self, online_store_config: ForwardRedisOnlineStoreConfig) -> Redis:
        if self._client is None:
            self._client = Redis.from_url(online_store_config.url, socket_timeout=TIMEOUT_SECONDS)
        return self._client

    async def _get_client_async(
        self, online_store_config: ForwardRedisOnlineStoreConfig
    ) -> redis_asyncio.Redis:
        if self._client_async is None:
            self._client_async = redis_asyncio.Redis.from_url(
                online_store_config.url, socket_timeout=TIMEOUT_SECONDS
            )
        return self._client_async


def _arguments(
    view: str, values: dict[str, Value], event: datetime, known: datetime | None
) -> list[Any]:
    """Give what the script is told of a row."""
    moment, fields = _marks(view)
    stamp = Timestamp()
    stamp.FromDatetime(utc(event))
    named = {_mmh3(f"{view}:{name}"): value.SerializeToString() for name, value in values.items()}
    return [
        *(moment, _sortable(event) + _sortable(known or event)),
        *(fields, b"".join(named)),
        *(f"_ts:{view}", stamp.SerializeToString()),
        *(part for pair in named.items() for part in pair),
    ]


def _marks(view: str) -> tuple[str, str]:
    """Give the fields of a key that hold a view's moment, and the list of its features' fields."""
    return f"_moment:{view}", f"_fields:{view}"


def _sortable(moment: datetime) -> str:
    """Give a moment to the microsecond as text that sorts."""
    return f"{(utc(moment) - BEFORE_ALL) // timedelta(microseconds=1):018d}"
