"""PyIceberg's transaction, with the metadata that it changes worked out once for each change.

The library's own works them out, and copies them whole, each time that it looks: some fifteen times
a commit (0.12), which takes longer with each snapshot that a table has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pyiceberg import table as iceberg

if TYPE_CHECKING:
    from pyiceberg.table.metadata import TableMetadata


class Transaction(iceberg.Transaction):
    """Changes to a table as it was loaded, in one commit."""

    def __init__(self, table: iceberg.Table) -> None:
        """Begin with nothing changed.

        Args:
            table: As it was loaded.
        """
        super().__init__(table)
        self._known: tuple[TableMetadata, int, TableMetadata] | None = None

    @property
    def table_metadata(self) -> TableMetadata:
        """The metadata as they are with all that was changed so far; not to be written to."""
        # Changes are only ever added, until the table itself is loaded anew.
        loaded, changes = self._table.metadata, len(self._updates)
        if self._known is None or self._known[0] is not loaded or self._known[1] != changes:
            self._known = loaded, changes, super().table_metadata
        return self._known[2]
