"""The control database: what must be true exactly once."""

from __future__ import annotations

from ml_tasks.io.audit import AuditEntry
from ml_tasks.io.champions import Champions, Head
from ml_tasks.io.costs import Cost, Costs
from ml_tasks.io.leases import Lease, Leases
from ml_tasks.io.triggers import Trigger, Triggers
from ml_tasks.io.watched import Watched
from ml_tasks.io.windows import Windows

__all__ = ["AuditEntry", "Control", "Cost", "Head", "Lease", "Trigger"]


class Control(Leases, Triggers, Champions, Windows, Costs, Watched):
    """Leases, triggers, champions and their audit log, windows, costs, what monitoring found."""
