"""The control database: what must be true exactly once."""

from __future__ import annotations

from ml_tasks.io.audit import AuditEntry
from ml_tasks.io.champions import Head
from ml_tasks.io.costs import Cost
from ml_tasks.io.leases import Lease, Leases
from ml_tasks.io.ledger import Ledger, LedgerLine
from ml_tasks.io.outbox import Outbox, Taken
from ml_tasks.io.reports import Report, Reports
from ml_tasks.io.triggers import Trigger
from ml_tasks.io.turns import Turns
from ml_tasks.io.windows import Windows

__all__ = [
    "AuditEntry",
    "Control",
    "Cost",
    "Head",
    "Lease",
    "LedgerLine",
    "Report",
    "Taken",
    "Trigger",
]


class Control(Leases, Turns, Ledger, Windows, Reports, Outbox):
    """Leases, turns, triggers, champions, audit, windows, costs, findings of monitoring, alerts."""
