"""Feast's offline store on the lake, with both time cuts in every join."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import pandas as pd
import polars as pl
from feast.infra.offline_stores.offline_store import OfflineStore, RetrievalJob, RetrievalMetadata
from feast.infra.offline_stores.offline_utils import infer_event_timestamp_from_entity_df
from feast.on_demand_feature_view import OnDemandFeatureView
from feast.repo_config import FeastConfigBaseModel
from pydantic import Field
from pyiceberg.catalog.sql import SqlCatalog

from feature_repo.point_in_time import join

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import datetime

    import pyarrow as pa
    from feast import FeatureView, RepoConfig
    from feast.infra.registry.base_registry import BaseRegistry

    from feature_repo.source import LakeSource

TIMES = ("event_time", "known_at")


class LakeOfflineStoreConfig(FeastConfigBaseModel):
    """Where the lake is, and as of when it is read."""

    type: str = "feature_repo.offline_store.LakeOfflineStore"
    catalog: str
    """SQLAlchemy address of the Iceberg catalog."""
    warehouse: str
    """Root of the lake's tables."""
    properties: dict[str, str] = Field(default_factory=dict)
    """What else opens the catalog, such as `s3.endpoint`."""
    snapshots: dict[str, int] = Field(default_factory=dict)
    """Table to snapshot id; a table that is not named is read as it is now."""


class LakeRetrievalJob(RetrievalJob):
    """A table that is made when it is asked for."""

    def __init__(
        self,
        make: Callable[[], pa.Table],
        *,
        full_feature_names: bool = False,
        on_demand: list[OnDemandFeatureView] | None = None,
        metadata: RetrievalMetadata | None = None,
    ) -> None:
        """Remember how to make the table."""
        self._make = make
        self._full_feature_names = full_feature_names
        self._on_demand = on_demand or []
        self._metadata = metadata

    @property
    def full_feature_names(self) -> bool:
        """Whether feature names carry their view's name."""
        return self._full_feature_names

    @property
    def on_demand_feature_views(self) -> list[OnDemandFeatureView]:
        """Views that Feast computes on the result."""
        return self._on_demand

    @property
    def metadata(self) -> RetrievalMetadata | None:
        """What was asked for."""
        return self._metadata

    def _to_arrow_internal(self, timeout: int | None = None) -> pa.Table:
        return self._make()


class LakeOfflineStore(OfflineStore):
    """Reads feature tables from Iceberg; Feast's own stores drop rows or run out of memory."""

    @staticmethod
    def get_historical_features(
        config: RepoConfig,
        feature_views: list[FeatureView],
        feature_refs: list[str],
        entity_df: pd.DataFrame | str | None,
        registry: BaseRegistry,
        project: str,
        full_feature_names: bool = False,
        **_: Any,
    ) -> RetrievalJob:
        """Join each entity row with what was known at its time; rows out are rows in, in order.

        Raises:
            TypeError: The entity rows are not a data frame.
        """
        if not isinstance(entity_df, pd.DataFrame):
            came = type(entity_df).__name__
            raise TypeError(f"entity_df: came {came}, wanted a pandas data frame of entity rows")
        asked_at = infer_event_timestamp_from_entity_df(entity_df.dtypes.to_dict())
        on_demand = OnDemandFeatureView.get_requested_odfvs(feature_refs, project, registry)
        wanted = _wanted(feature_views, feature_refs)

        def make() -> pa.Table:
            rows = pl.from_pandas(entity_df).with_columns(
                pl.col(asked_at).cast(pl.Datetime("us", "UTC"))
            )
            lake = _Lake(config)
            for view in feature_views:
                name = view.projection.name_to_use()
                prefix = f"{name}__" if full_feature_names else ""
                rows = _join_view(lake, rows, view, wanted[name], asked_at, prefix)
            return rows.to_arrow()

        return LakeRetrievalJob(
            make,
            full_feature_names=full_feature_names,
            on_demand=on_demand,
            metadata=RetrievalMetadata(
                features=feature_refs, keys=[c for c in entity_df.columns if c != asked_at]
            ),
        )

    @staticmethod
    def pull_latest_from_table_or_query(
        config: RepoConfig,
        data_source: LakeSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None,
        start_date: datetime,
        end_date: datetime,
    ) -> RetrievalJob:
        """Give each key's newest event of a range of event time, in its newest version."""
        columns = [*join_key_columns, *feature_name_columns, *TIMES]

        def make() -> pa.Table:
            rows = _Lake(config).read(data_source, columns, start_date, end_date)
            newest = rows.sort(*TIMES).unique(join_key_columns, keep="last")
            return newest.drop_nulls(join_key_columns).sort(join_key_columns).to_arrow()

        return LakeRetrievalJob(make)

    @staticmethod
    def pull_all_from_table_or_query(
        config: RepoConfig,
        data_source: LakeSource,
        join_key_columns: list[str],
        feature_name_columns: list[str],
        timestamp_field: str,
        created_timestamp_column: str | None = None,
        start_date: datetime | None = None,
        end_date: datetime | None = None,
    ) -> RetrievalJob:
        """Give every row of a range of event time, in all its versions."""
        columns = [*join_key_columns, *feature_name_columns, *TIMES]
        return LakeRetrievalJob(
            lambda: _Lake(config).read(data_source, columns, start_date, end_date).to_arrow()
        )


class _Lake:
    """The tables of the config, with one connection to their catalog."""

    def __init__(self, config: RepoConfig) -> None:
        self._store: LakeOfflineStoreConfig = config.offline_store
        store = self._store
        self._catalog = SqlCatalog(
            "lake", uri=store.catalog, warehouse=store.warehouse, **store.properties
        )

    def read(
        self,
        source: LakeSource,
        columns: Sequence[str],
        since: datetime | None,
        until: datetime | None,
    ) -> pl.DataFrame:
        """Read columns of the rows of a range of event time; both its ends belong to it."""
        table = self._catalog.load_table(source.table)
        rows = pl.scan_iceberg(table, snapshot_id=self._store.snapshots.get(source.table))
        if since is not None:
            rows = rows.filter(pl.col("event_time") >= since)
        if until is not None:
            rows = rows.filter(pl.col("event_time") <= until)
        with warnings.catch_warnings():
            # Polars praises a planner that it can do without.
            warnings.filterwarnings(
                "ignore", "Iceberg scan planning", pl.exceptions.PerformanceWarning
            )
            return rows.select(columns).collect()


def _wanted(views: list[FeatureView], refs: list[str]) -> dict[str, list[str]]:
    """Give each view's features; Feast also refers to those that others are made of."""
    wanted: dict[str, list[str]] = {view.projection.name_to_use(): [] for view in views}
    for ref in refs:
        view, _colon, feature = ref.partition(":")
        if view in wanted:
            wanted[view].append(feature)
    return wanted


def _join_view(
    lake: _Lake,
    rows: pl.DataFrame,
    view: FeatureView,
    features: list[str],
    asked_at: str,
    prefix: str,
) -> pl.DataFrame:
    bounds = rows.select(
        pl.col(asked_at).min().alias("first"), pl.col(asked_at).max().alias("last")
    )
    first, last = bounds.row(0)
    keys = [column.name for column in view.entity_columns]
    renamed = view.projection.join_key_map
    since = None if not view.ttl or first is None else first - view.ttl
    table = lake.read(view.batch_source, [*keys, *features, *TIMES], since, last)
    names = {key: renamed.get(key, key) for key in keys} | {f: f"{prefix}{f}" for f in features}
    return join(
        rows,
        table.rename(names),
        keys=[names[key] for key in keys],
        asked_at=asked_at,
        ttl=view.ttl or None,
    )
