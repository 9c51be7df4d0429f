"""What each attempt of a task was given, used and cost."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import TYPE_CHECKING, Literal

import sqlalchemy as sa

from ml_tasks.io.database import Database, records
from ml_tasks.io.schema import costs

if TYPE_CHECKING:
    from collections.abc import Iterable

State = Literal["done", "failed", "skipped", "killed"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Cost:
    """One attempt."""

    pipeline: str
    run: str
    task: str
    attempt: int
    at: str
    """When it began, ISO 8601 in UTC."""
    state: State
    pods: int
    cpus: float
    """What each pod was given; so are memory and GPUs."""
    memory_gb: float
    gpus: int
    node_type: str
    spot: bool
    wall_seconds: float
    pod_seconds: float
    """Time of all its pods, which is what is paid for."""
    cpu_seconds: float
    gpu_seconds: float
    peak_memory_mb: float
    """Of the pod that used most."""
    amount: float
    currency: str


KEY = (costs.c.pipeline, costs.c.run, costs.c.task, costs.c.attempt)


class Costs(Database):
    """Costs of all runs; what was written once stands, also when prices change."""

    def charge(self, made: Iterable[Cost]) -> None:
        """Write attempts that are not written yet; the same again changes nothing."""
        with self.alone("costs") as tx:
            for cost in made:
                own = (cost.pipeline, cost.run, cost.task, cost.attempt)
                if tx.execute(sa.select(costs.c.at).where(sa.tuple_(*KEY) == own)).first() is None:
                    tx.execute(costs.insert().values(asdict(cost)))

    def costs(self, *, pipeline: str = "", run: str = "", since: str = "") -> list[Cost]:
        """Give attempts, oldest first.

        Args:
            pipeline: Of this one; of all when empty.
            run: Of this one; of all when empty.
            since: Those that began at this moment or later, ISO 8601 in UTC.
        """
        wanted = sa.select(*(costs.c[field.name] for field in fields(Cost)))
        if pipeline:
            wanted = wanted.where(costs.c.pipeline == pipeline)
        if run:
            wanted = wanted.where(costs.c.run == run)
        wanted = wanted.where(costs.c.at >= since).order_by(costs.c.at, *KEY)
        with self.transaction() as tx:
            return records(Cost, tx.execute(wanted))
