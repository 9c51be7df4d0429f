"""Features through Feast: definitions, history, and what serves them online."""

from __future__ import annotations

import contextlib
import io
import warnings
from typing import TYPE_CHECKING, Any

from feature_repo import quick_feast
from ml_tasks.errors import BackendError, ConfigError
from ml_tasks.io.backend import said
from ml_tasks.io.database import Database

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
    from datetime import datetime, timedelta
    from pathlib import Path

    import pandas as pd
    import pyarrow as pa
    from feast import FeatureService, FeatureStore, OnDemandFeatureView

    from ml_tasks.config import Environment
    from ml_tasks.result import Window

quick_feast.install()  # Feast is imported later, by whoever opens the store
LEASE = "features online"
"""Who writes the registry or the online store holds this lease."""


def store(environment: Environment, snapshots: Mapping[str, int] | None = None) -> FeatureStore:
    """Open the feature store; `snapshots` pins lake tables to snapshot ids."""
    from feast import FeatureStore, RepoConfig

    warnings.filterwarnings("ignore", "On demand feature view is an experimental feature")
    folder = environment.home / "feast"
    folder.mkdir(parents=True, exist_ok=True)
    servers = environment.profile == "servers"
    config = RepoConfig(
        project="perennial",
        provider="local",
        offline_store={
            "type": "feature_repo.offline_store.LakeOfflineStore",
            "catalog": environment.catalog,
            "warehouse": environment.warehouse_root,
            "properties": environment.catalog_properties,
            "snapshots": dict(snapshots or {}),
        },
        entity_key_serialization_version=3,
        repo_path=str(folder),
        **(_on_servers(environment) if servers else _in_files(folder)),
    )
    if not servers:
        return FeatureStore(config=config)
    # Opened for the first time it makes its tables: one at a time.
    with Database(environment.feast, "Feast's registry").alone("open"):
        opened = FeatureStore(config=config)
        _ = opened.registry
    return opened


def _in_files(folder: Path) -> dict[str, Any]:
    return {
        "registry": {
            "path": str(folder / "registry.db"),
            "registry_store_type": "feature_repo.registry_store.WholeRegistryStore",
        },
        "online_store": {
            "type": "feature_repo.online_store.ForwardSqliteOnlineStore",
            "path": str(folder / "online.db"),
        },
    }


def _on_servers(environment: Environment) -> dict[str, Any]:
    return {
        "registry": {"registry_type": "sql", "path": environment.feast},
        "online_store": {
            "type": "feature_repo.redis_online_store.ForwardRedisOnlineStore",
            "url": environment.redis,
        },
    }


def apply(opened: FeatureStore) -> None:
    """Write the definitions of `feature_repo` to the registry; the same again changes nothing."""
    from feature_repo.entities import ENTITIES
    from feature_repo.on_demand import ON_DEMAND
    from feature_repo.services import SERVICES
    from feature_repo.views import VIEWS

    opened.apply([*ENTITIES.values(), *VIEWS.values(), *ON_DEMAND, *SERVICES.values()])


def service(name: str) -> FeatureService:
    """Give a feature service as `feature_repo` defines it.

    Raises:
        ConfigError: There is none of that name.
    """
    from feature_repo.services import SERVICES

    if name not in SERVICES:
        raise ConfigError(f"features.service: came {name!r}, wanted one of {sorted(SERVICES)}")
    return SERVICES[name]


def refs(name: str | None) -> tuple[str, ...]:
    """Give `view:feature` of a service's features, in its order; none without a service."""
    if name is None:
        return ()
    projections = service(name).feature_view_projections
    return tuple(f"{view.name}:{feature.name}" for view in projections for feature in view.features)


def offered(names: Collection[str]) -> list[str]:
    """Give `view:feature` for each name that a view has, whether or not a service has it too."""
    from feature_repo.on_demand import ON_DEMAND
    from feature_repo.views import VIEWS

    every = [(v.name, f.name) for v in (*VIEWS.values(), *ON_DEMAND) for f in v.features]
    return [f"{view}:{feature}" for view, feature in every if feature in names]


def columns(refs: Collection[str]) -> tuple[str, ...]:
    """Give the features' own names by their `view:feature`."""
    return tuple(ref.partition(":")[2] for ref in refs)


def below(refs: Collection[str]) -> list[str]:
    """Give the views on lake tables that features stand on, by their `view:feature`."""
    from feature_repo.views import VIEWS

    made_from = [p for v in _asked(refs) for p in v.source_feature_view_projections.values()]
    named = {*_views(refs), *(p.name for p in made_from)}
    return [view for view in VIEWS if view in named]


def raw_sources(refs: Collection[str]) -> list[str]:
    """Give the sources from whose rows features are derived, by their `view:feature`."""
    from feature_repo.transformations import TABLES

    return sorted({source for view in below(refs) for source in TABLES[view].sources})


def told(refs: Collection[str]) -> tuple[str, ...]:
    """Give what features have to be told of each row: entity keys and request columns."""
    from feature_repo.transformations import TABLES

    keys = [key for view in below(refs) for key in TABLES[view].keys]
    request = [
        field.name
        for view in _asked(refs)
        for source in view.source_request_sources.values()
        for field in source.schema
    ]
    return tuple(dict.fromkeys([*keys, *request]))


def _views(refs: Collection[str]) -> set[str]:
    return {ref.partition(":")[0] for ref in refs}


def _asked(refs: Collection[str]) -> list[OnDemandFeatureView]:
    """Give the views that compute features when they are asked for."""
    from feature_repo.on_demand import ON_DEMAND

    return [view for view in ON_DEMAND if view.name in _views(refs)]


def on_request(
    refs: Collection[str],
) -> tuple[tuple[str, ...], tuple[str, ...], Callable[[pa.Table], pa.Table]]:
    """Give what is computed when features are asked for.

    Returns:
        The features, the features of views that they are made of, and what computes them from
        those and from the request columns.
    """
    import pyarrow as pa

    views = _asked(refs)
    needs = {
        feature.name
        for view in views
        for projection in view.source_feature_view_projections.values()
        for feature in projection.features
    }

    def compute(told: pa.Table) -> pa.Table:
        frame, columns = told.to_pandas(), {}
        for view in views:
            out = view.feature_transformation.udf(frame)
            columns.update({c: pa.array(out[c], from_pandas=True) for c in out})
        return pa.table(columns)

    made = {feature.name for view in views for feature in view.features}
    return tuple(f for f in columns(refs) if f in made), tuple(sorted(needs)), compute


def historical(opened: FeatureStore, refs: Sequence[str], entities: pd.DataFrame) -> pa.Table:
    """Join entity rows with features, as known at each row's `asked_at`.

    Args:
        opened: The store.
        refs: `view:feature` of each.
        entities: Keys, request columns and the time of asking.
    """
    job = opened.get_historical_features(entity_df=entities, features=list(refs))
    return job.to_arrow()


def shape(view: str) -> tuple[tuple[str, ...], tuple[str, ...], timedelta]:
    """Give a view's keys, features, and how long a row is good for."""
    from feature_repo.transformations import TABLES

    table = TABLES[view]
    return table.keys, table.features, table.ttl


def lead(view: str) -> timedelta:
    """Give how long before its raw rows' window a view's rows lie."""
    from feature_repo.transformations import TABLES

    return TABLES[view].lead


def bring_online(opened: FeatureStore, views: Sequence[str], window: Window) -> None:
    """Write each key's newest row of a window to the online store.

    Raises:
        BackendError: The store is away or refused.
    """
    with _answering(), contextlib.redirect_stdout(io.StringIO()):  # Feast prints in colours
        opened.materialize(window.start, window.end, feature_views=list(views))


@contextlib.contextmanager
def _answering() -> Iterator[None]:
    from redis.exceptions import RedisError

    try:
        yield
    except RedisError as fault:
        raise BackendError(f"online store: {said(fault)}") from fault


def newest(opened: FeatureStore, view: str, window: Window) -> pa.Table:
    """Give each key's newest row of a window, as materialisation writes it."""
    from feature_repo.offline_store import LakeOfflineStore
    from feature_repo.views import VIEWS

    keys, names, _ttl = shape(view)
    job = LakeOfflineStore.pull_latest_from_table_or_query(
        opened.config, VIEWS[view].batch_source, list(keys), list(names),
        "event_time", "known_at", window.start, window.end,
    )  # fmt: skip
    return job.to_arrow()


def online(
    opened: FeatureStore,
    view: str,
    features: Sequence[str],
    entities: Sequence[Mapping[str, Any]],
    now: datetime,
) -> list[dict[str, Any]]:
    """Read a view's features online; what is older than the view's TTL at `now` is null.

    Feast itself gives out values of any age.

    Raises:
        BackendError: The store is away.
    """
    from feature_repo.views import VIEWS

    with _answering():
        answer = opened.get_online_features(
            features=[f"{view}:{feature}" for feature in features],
            entity_rows=[dict(entity) for entity in entities],
        )
    proto = answer.proto
    names = list(proto.metadata.feature_names.val)
    values = answer.to_dict()
    oldest = now.timestamp() - VIEWS[view].ttl.total_seconds()
    rows = []
    for position in range(len(entities)):
        fresh = {
            name
            for name, result in zip(names, proto.results, strict=True)
            if result.event_timestamps[position].seconds >= oldest
        }
        rows.append({f: values[f][position] if f in fresh else None for f in features})
    return rows
