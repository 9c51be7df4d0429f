"""A Feast data source that names a table of the lake and nothing else.

Where the lake is, and as of which snapshots it is read, stands in the offline store's config.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from feast.data_source import DataSource
from feast.protos.feast.core.DataSource_pb2 import DataSource as DataSourceProto
from feast.value_type import ValueType

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from feast import RepoConfig

_TYPES = {"string": ValueType.STRING, "long": ValueType.INT64, "double": ValueType.DOUBLE}


class LakeSource(DataSource):
    """One feature table, with its event time and the time its rows were known."""

    def __init__(self, *, table: str, description: str = "", owner: str = "") -> None:
        """Name the table, `namespace.name`."""
        super().__init__(
            name=table,
            timestamp_field="event_time",
            created_timestamp_column="known_at",
            description=description,
            owner=owner,
        )
        self.table = table

    @staticmethod
    def from_proto(data_source: DataSourceProto) -> LakeSource:
        """Read it back from the registry."""
        options = json.loads(data_source.custom_options.configuration)
        return LakeSource(
            table=options["table"],
            description=data_source.description,
            owner=data_source.owner,
        )

    def _to_proto_impl(self) -> DataSourceProto:
        return DataSourceProto(
            name=self.name,
            type=DataSourceProto.CUSTOM_SOURCE,
            data_source_class_type=f"{__name__}.LakeSource",
            custom_options=DataSourceProto.CustomSourceOptions(
                configuration=json.dumps({"table": self.table}).encode()
            ),
            description=self.description,
            owner=self.owner,
            timestamp_field=self.timestamp_field,
            created_timestamp_column=self.created_timestamp_column,
        )

    def validate(self, config: RepoConfig) -> None:
        """Accept a table that is not there yet: the first window makes it."""

    def get_table_query_string(self) -> str:
        """Give the table's name."""
        return self.table

    @staticmethod
    def source_datatype_to_feast_value_type() -> Callable[[str], ValueType]:
        """Give the mapping of Iceberg's types."""
        return lambda name: _TYPES.get(name, ValueType.UNKNOWN)

    def get_table_column_names_and_types(self, config: RepoConfig) -> Iterable[tuple[str, str]]:
        """Give the columns; the views declare theirs, so that no lake is asked."""
        return []

    def __eq__(self, other: object) -> bool:
        """Tell whether both name the same table."""
        return isinstance(other, LakeSource) and super().__eq__(other)

    def __hash__(self) -> int:
        """Hash the name."""
        return hash(self.name)

    def source_type(self) -> Any:
        """Say that Feast does not know this kind."""
        return DataSourceProto.CUSTOM_SOURCE
