"""The control database's tables."""

from __future__ import annotations

import sqlalchemy as sa

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

LONGEST_OUTCOME = 255

leases = sa.Table(
    "leases",
    metadata,
    sa.Column("resource", sa.String(255), primary_key=True),
    sa.Column("holder", sa.String(255), nullable=False),
    sa.Column("attempt", sa.Integer, nullable=False),
    sa.Column("token", sa.BigInteger, nullable=False),
    sa.Column("released", sa.Boolean, nullable=False),
    sa.Column("expires", sa.Float, nullable=False),
)

turns = sa.Table(
    "turns",
    metadata,
    sa.Column("task", sa.String(255), primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("number", sa.Integer, nullable=False),
    sa.Column("began", sa.String(32), nullable=False),
)

triggers = sa.Table(
    "triggers",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("pipeline", sa.String(64), nullable=False, index=True),
    sa.Column("cause", sa.String(64), nullable=False),
    sa.Column("window", sa.String(64), nullable=False),
    sa.Column("replay", sa.String(255), nullable=False),
    sa.Column("who", sa.String(255), nullable=False),
    sa.Column("evidence", sa.JSON, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("run", sa.String(255)),
    sa.Column("outcome", sa.String(LONGEST_OUTCOME)),
    sa.Column("created", sa.String(32), nullable=False),
    sa.UniqueConstraint("pipeline", "cause", "window", "replay"),
)

heads = sa.Table(
    "heads",
    metadata,
    sa.Column("pipeline", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("run", sa.String(255), nullable=False),
    sa.Column("verdict_uri", sa.Text, nullable=False),
    sa.Column("since", sa.String(32), nullable=False),
)

audit = sa.Table(
    "audit",
    metadata,
    sa.Column("number", sa.Integer, primary_key=True, autoincrement=False),
    sa.Column("pipeline", sa.String(64), nullable=False, index=True),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("who", sa.String(128), nullable=False),
    sa.Column("why", sa.Text, nullable=False),
    sa.Column("detail", sa.JSON, nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
    sa.Column("previous", sa.String(64), nullable=False),
    sa.Column("hash", sa.String(64), nullable=False),
)

windows = sa.Table(
    "windows",
    metadata,
    sa.Column("pipeline", sa.String(64), primary_key=True),
    sa.Column("start", sa.String(32), primary_key=True),
    sa.Column("end", sa.String(32), nullable=False),
    sa.Column("run", sa.String(255), nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
)

publications = sa.Table(
    "publications",
    metadata,
    sa.Column("table", sa.String(128), primary_key=True),
    sa.Column("start", sa.String(32), primary_key=True),
    sa.Column("end", sa.String(32), primary_key=True),
    sa.Column("run", sa.String(255), nullable=False),
    sa.Column("at", sa.String(32), nullable=False),
)

costs = sa.Table(
    "costs",
    metadata,
    sa.Column("pipeline", sa.String(64), primary_key=True),
    sa.Column("run", sa.String(255), primary_key=True),
    sa.Column("task", sa.String(64), primary_key=True),
    sa.Column("attempt", sa.Integer, primary_key=True),
    sa.Column("at", sa.String(32), nullable=False, index=True),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("pods", sa.Integer, nullable=False),
    sa.Column("cpus", sa.Float, nullable=False),
    sa.Column("memory_gb", sa.Float, nullable=False),
    sa.Column("gpus", sa.Integer, nullable=False),
    sa.Column("node_type", sa.String(64), nullable=False),
    sa.Column("spot", sa.Boolean, nullable=False),
    sa.Column("wall_seconds", sa.Float, nullable=False),
    sa.Column("pod_seconds", sa.Float, nullable=False),
    sa.Column("cpu_seconds", sa.Float, nullable=False),
    sa.Column("gpu_seconds", sa.Float, nullable=False),
    sa.Column("peak_memory_mb", sa.Float, nullable=False),
    sa.Column("amount", sa.Float, nullable=False),
    sa.Column("currency", sa.String(3), nullable=False),
)

measures = sa.Table(
    "measures",
    metadata,
    sa.Column("pipeline", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(64), primary_key=True),
    sa.Column("start", sa.String(32), primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("metric", sa.String(64), primary_key=True),
    sa.Column("segment", sa.String(255), primary_key=True),
    sa.Column("end", sa.String(32), nullable=False),
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("low", sa.Float),
    sa.Column("high", sa.Float),
    sa.Column("error", sa.Float),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("predicted", sa.Integer, nullable=False),
    sa.Column("known", sa.String(32), nullable=False),
    sa.Column("run", sa.String(255), nullable=False),
)

looks = sa.Table(
    "looks",
    metadata,
    sa.Column("pipeline", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(64), primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("signal", sa.String(255), primary_key=True),
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("p_value", sa.Float),
    sa.Column("cost", sa.Float),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("run", sa.String(255), nullable=False),
    sa.Column("share", sa.Float),
)

alarms = sa.Table(
    "alarms",
    metadata,
    sa.Column("pipeline", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(64), primary_key=True),
    sa.Column("day", sa.String(10), primary_key=True),
    sa.Column("of", sa.String(16), primary_key=True),
    sa.Column("level", sa.Float, nullable=False),
    sa.Column("paged", sa.Boolean, nullable=False),
    sa.Column("loss", sa.Float),
    sa.Column("signals", sa.JSON, nullable=False),
    sa.Column("run", sa.String(255), nullable=False),
)

grades = sa.Table(
    "grades",
    metadata,
    sa.Column("pipeline", sa.String(64), primary_key=True),
    sa.Column("version", sa.String(64), primary_key=True),
    sa.Column("before", sa.String(64), primary_key=True),
    sa.Column("start", sa.String(32), primary_key=True),
    sa.Column("end", sa.String(32), primary_key=True),
    sa.Column("metric", sa.String(64), primary_key=True),
    sa.Column("value", sa.Float, nullable=False),
    sa.Column("low", sa.Float),
    sa.Column("high", sa.Float),
    sa.Column("error", sa.Float),
    sa.Column("rows", sa.Integer, nullable=False),
    sa.Column("predicted", sa.Integer, nullable=False),
    sa.Column("windows", sa.Integer, nullable=False),
    sa.Column("wanted", sa.Integer, nullable=False),
    sa.Column("known", sa.String(32), nullable=False),
    sa.Column("run", sa.String(255), nullable=False),
)

reports = sa.Table(
    "reports",
    metadata,
    sa.Column("pipeline", sa.String(64), primary_key=True),
    sa.Column("fingerprint", sa.String(64), primary_key=True),
    sa.Column("starts_at", sa.String(32), primary_key=True),
    sa.Column("source", sa.String(128), nullable=False),
    sa.Column("status", sa.String(16), nullable=False),
    sa.Column("labels", sa.JSON, nullable=False),
    sa.Column("annotations", sa.JSON, nullable=False),
    sa.Column("link", sa.Text, nullable=False),
    sa.Column("received", sa.String(32), nullable=False),
    sa.Column("closed", sa.String(32)),
)

sent = sa.Table(
    "sent",
    metadata,
    sa.Column("id", sa.String(32), primary_key=True),
    sa.Column("pipeline", sa.String(64), nullable=False, index=True),
    sa.Column("kind", sa.String(32), nullable=False),
    sa.Column("fingerprint", sa.String(64), nullable=False),
    sa.Column("channel", sa.String(255), nullable=False),
    sa.Column("content", sa.JSON, nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("tries", sa.Integer, nullable=False),
    sa.Column("holder", sa.String(32)),
    sa.Column("not_before", sa.Float, nullable=False),
    sa.Column("fault", sa.Text),
    sa.Column("created", sa.String(32), nullable=False),
    sa.Column("sent", sa.String(32)),
    sa.UniqueConstraint("pipeline", "kind", "fingerprint", "channel"),
)
