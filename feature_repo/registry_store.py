"""Feast's registry as a file that a reader sees whole, whenever its writer was killed."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from feast.infra.registry.file import FileRegistryStore

if TYPE_CHECKING:
    from feast.protos.feast.core.Registry_pb2 import Registry


class WholeRegistryStore(FileRegistryStore):
    """Feast's own store writes over the file in place: killed there, nobody can read it again."""

    def _write_registry(self, registry_proto: Registry) -> None:
        registry_proto.version_id = str(uuid.uuid4())
        registry_proto.last_updated.FromDatetime(datetime.now(UTC))
        self._filepath.parent.mkdir(exist_ok=True)
        draft = self._filepath.with_name(f".{self._filepath.name}.{uuid.uuid4().hex}")
        try:
            draft.write_bytes(registry_proto.SerializeToString())
            draft.replace(self._filepath)
        finally:
            draft.unlink(missing_ok=True)
