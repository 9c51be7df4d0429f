"""Alembic's migrations of the control database."""
