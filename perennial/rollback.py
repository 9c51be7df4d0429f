"""Makes an earlier version champion again, in control, in MLflow and in Airflow."""

from __future__ import annotations

import getpass
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import httpx
import typer

from ml_tasks.errors import ConfigError, ExitCode
from ml_tasks.io.audit import COVERED, MOVES, ROLLBACK
from ml_tasks.io.registry import ALIAS, Registry
from perennial import console
from perennial.airflow_api import Airflow
from perennial.given import opened, require_product

if TYPE_CHECKING:
    from ml_tasks.io.audit import AuditEntry
    from ml_tasks.io.champions import Head
    from ml_tasks.io.control import Control
    from perennial.services import Services

LONGEST = 128
"""Characters of a name that control keeps."""
PROBE_SECONDS = 10


def command(
    why: Annotated[str, typer.Option(help="The reason, for the audit log.")],
    to: Annotated[
        str,
        typer.Option(help="Number or semantic version; the champion before when empty."),
    ] = "",
    pipeline: Annotated[
        str, typer.Option("--pipeline", "-p", help="Name of its YAML file.")
    ] = "flight_delays",
) -> int:
    """Make an earlier version champion again; a retry of the run it came by does not undo that.

    What a killed call left undone the next one does, and then moves nothing else.
    """
    from ml_tasks.training import predecessor

    if not why.strip():
        raise ConfigError("--why: came nothing, wanted the reason; the audit log keeps it")
    services, control = opened()
    seen = control.champion(pipeline)
    if seen is None:
        require_product(pipeline, services.given)
        raise ConfigError(f"{pipeline}: nothing to roll back, it has no champion")
    others = _Others(services, control, pipeline)
    if (finished := others.finish(to, seen)) is not None:
        return finished
    found = predecessor.find(services.present, control, others.registry, seen, to)
    evidence = {COVERED: control.covered(pipeline)}
    entry = control.rollback(found, seen=seen, who=person(), why=why, evidence=evidence)
    console.plain(f"{pipeline}: version {found.version} is champion in the place of {seen.version}")
    return others.follow(entry)


def person() -> str:
    """Give who sits before this machine, for what is written down."""
    try:
        name = getpass.getuser()
    except (KeyError, OSError):  # no such user: in a container with a number alone
        name = "somebody"
    return f"{name}@{socket.gethostname()}"[:LONGEST]


@dataclass(frozen=True, slots=True)
class _Others:
    """Those who are told of the head: MLflow by its alias, Airflow by an event."""

    services: Services
    control: Control
    pipeline: str

    @property
    def registry(self) -> Registry | None:
        """Give MLflow's side, where MLflow answers."""
        services, url = self.services, self.services.present.mlflow_url
        if not url:
            return None
        try:
            answers = httpx.get(f"{url}/health", timeout=PROBE_SECONDS).is_success
        except httpx.HTTPError:
            answers = False
        return Registry(services.present, self.pipeline) if answers else None

    @property
    def airflow(self) -> Airflow | None:
        """Give Airflow's API, where it runs."""
        return None if "api-server" in self.services.dead() else Airflow(self.services)

    def finish(self, to: str, seen: Head) -> int | None:
        """Do what the newest rollback left undone; `None` where there is nothing of that."""
        moves = [entry for entry in self.control.audit(self.pipeline) if entry.action in MOVES]
        last = moves[-1]
        if last.action != ROLLBACK or to not in ("", seen.version):
            return None
        registry, airflow = self.registry, self.airflow
        behind = registry is not None and registry.aliased() != seen.version
        untold = airflow is not None and airflow.has_event(self._asset, _key(last)) is False
        if not behind and not untold:
            return None
        console.plain(
            f"{self.pipeline}: the rollback to version {seen.version} of {last.at} by {last.who} "
            "was not finished; nothing else is moved"
        )
        return self.follow(last)

    def follow(self, entry: AuditEntry) -> int:
        """Let both follow the head; what is away is said, with how it follows later."""
        registry, airflow = self.registry, self.airflow
        again = f"perennial rollback -p {self.pipeline} --to {entry.detail['version']} --why …"
        if registry is not None:
            registry.follow(self.control)
            console.plain(f"MLflow: alias {ALIAS} follows")
        else:
            console.fail(
                f"MLflow does not answer: its alias follows with the next recorded run, or with\n"
                f"  {again}"
            )
        if airflow is None:
            console.plain(
                f"Airflow does not run: nobody was told by {self._asset}; once it does "
                f"(perennial up), this emits the event:\n  {again}"
            )
        else:
            self._tell(airflow, entry)
        return ExitCode.OK if registry is not None else ExitCode.RETRY

    def _tell(self, airflow: Airflow, entry: AuditEntry) -> None:
        emitted = airflow.has_event(self._asset, _key(entry))
        if emitted is None:
            console.fail(f"Airflow knows no asset {self._asset}: nobody waits for its event")
        elif emitted:
            console.plain(f"Airflow: {self._asset} was emitted before")
        else:
            airflow.emit(self._asset, _key(entry), {"audit": entry.number, **entry.detail})
            console.plain(f"Airflow: {self._asset} emitted")

    @property
    def _asset(self) -> str:
        return f"champion({self.pipeline})"


def _key(entry: AuditEntry) -> str:
    """Give the event's partition key: a promotion's is its trigger's id."""
    return f"rollback-{entry.number}"
