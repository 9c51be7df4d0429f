"""Runs the migrations on the connection that `Control.migrate` hands over."""

from __future__ import annotations

from alembic import context

from ml_tasks.io.database import VERSION_TABLE
from ml_tasks.io.schema import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    version_table=VERSION_TABLE,
    render_as_batch=True,
    transactional_ddl=False,
)
context.run_migrations()
