"""The services of `perennial up` in a folder of a bench's own, with DAGs or settings of its own."""

from __future__ import annotations

import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from perennial import services as perennial_services
from perennial.airflow_api import Airflow
from perennial.services import Services

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from ml_tasks.config import Environment

ENDED = ("success", "failed")
LOOK_SECONDS, READY_SECONDS = 0.2, 900
T = TypeVar("T")


class OwnServices(Services):
    """Services with other settings than `perennial up` gives them."""

    def __init__(
        self, environment: Environment, settings: Mapping[str, str], without: str = " "
    ) -> None:
        """Remember what differs.

        Args:
            environment: The home.
            settings: Variables that are set beside or in place of ours.
            without: What the names of ours begin with that are left at Airflow's defaults.
        """
        super().__init__(environment)
        self._settings, self._without = settings, without

    def start(self, name: str) -> None:
        """Start a service, and look after nothing else."""
        self._start(name)

    def environ(self) -> dict[str, str]:
        """Give what services are told, less what was left out and with what was set."""
        ours = super().environ()
        kept = {n: value for n, value in ours.items() if not n.startswith(self._without)}
        return {**kept, **self._settings}


@contextmanager
def running(services: Services) -> Iterator[Airflow]:
    """Start services, give a client of their Airflow, and end all that was started."""
    # A machine that does other things besides starts slowly, which is not what is measured.
    perennial_services.READY_SECONDS = READY_SECONDS
    try:
        services.up(lambda name, seconds: print(f"  {name} answers after {seconds:.0f} s"))
        yield Airflow(services)
    finally:
        services.down()


def wait_for(what: Callable[[], T | None], told: str, seconds: float) -> T:
    """Ask again and again until there is an answer.

    Raises:
        TimeoutError: There was none in time.
    """
    limit = time.monotonic() + seconds
    while (found := what()) is None:
        if time.monotonic() > limit:
            raise TimeoutError(f"{told}: not in {seconds:.0f} s")
        time.sleep(LOOK_SECONDS)
    return found


def ended(airflow: Airflow, dag: str, run: str, task: str) -> str | None:
    """Give the final state of a task; `None` while it has none."""
    states = {t["task_id"]: t["state"] for t in airflow.tasks(dag, run)}
    return states.get(task) if states.get(task) in ENDED else None
