"""The audit log takes a next entry and nothing else."""

from __future__ import annotations

from alembic import op

revision = "0004"
down_revision = "0003"

REFUSED = "the audit log is append-only"
CHANGES = ("update", "delete")
NEXT = """
NEW.number <> coalesce((SELECT max(number) FROM audit), 0) + 1
OR NEW.previous <> coalesce((SELECT hash FROM audit ORDER BY number DESC LIMIT 1), NEW.previous)
"""
FUNCTION = """
CREATE FUNCTION audit_refuses() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE last record;
BEGIN
  IF TG_OP = 'INSERT' THEN
    EXECUTE format(
      'SELECT number, hash FROM %I.audit ORDER BY number DESC LIMIT 1', TG_TABLE_SCHEMA
    ) INTO last;
    IF NEW.number = coalesce(last.number, 0) + 1
      AND NEW.previous = coalesce(last.hash, NEW.previous) THEN
      RETURN NEW;
    END IF;
  END IF;
  RAISE EXCEPTION 'the audit log is append-only' USING ERRCODE = 'integrity_constraint_violation';
END $$
"""


def upgrade() -> None:
    """Let the database itself refuse; who owns the table can still take that away again."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute(FUNCTION)
        for name, when, each in (
            ("rows", "INSERT OR UPDATE OR DELETE", "ROW"),
            ("all", "TRUNCATE", "STATEMENT"),
        ):
            op.execute(
                f"CREATE TRIGGER audit_refuses_{name} BEFORE {when} ON audit "
                f"FOR EACH {each} EXECUTE FUNCTION audit_refuses()"
            )
            op.execute(f"ALTER TABLE audit ENABLE ALWAYS TRIGGER audit_refuses_{name}")
        return
    for change in CHANGES:
        op.execute(
            f"CREATE TRIGGER audit_refuses_{change} BEFORE {change.upper()} ON audit "
            f"BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
        )
    # An INSERT OR REPLACE deletes without asking the other trigger.
    op.execute(
        f"CREATE TRIGGER audit_refuses_insert BEFORE INSERT ON audit WHEN {NEXT} "
        f"BEGIN SELECT RAISE(ABORT, '{REFUSED}'); END"
    )


def downgrade() -> None:
    """Let go of it."""
    if op.get_bind().dialect.name == "postgresql":
        op.execute("DROP FUNCTION audit_refuses() CASCADE")
        return
    for change in (*CHANGES, "insert"):
        op.execute(f"DROP TRIGGER audit_refuses_{change}")
