"""What could be in the way, and what to do about it."""

from __future__ import annotations

import os
import platform
import shutil
import socket
import sys
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from ml_tasks import config
from ml_tasks.errors import ConfigError
from perennial import servers
from perennial.addresses import PREFERRED

if TYPE_CHECKING:
    from perennial.services import Services

GIGABYTE = 2**30
DISK_GB = 3
MEMORY_GB = 6
PYTHON = ((3, 11), (3, 13))
FLOORS = {"apache-airflow": (3, 3), "mlflow": (3, 17), "feast": (0, 67), "torch": (2, 10)}


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at."""

    what: str
    good: bool
    found: str
    mend: str = ""


def look(services: Services) -> list[Finding]:
    """Look at all that a run needs."""
    return [
        _python(),
        *_packages(),
        _disk(services),
        _memory(),
        _writable(services),
        *_ports(services),
        *_programs(services),
        _pipelines(services),
        *_services(services),
    ]


def require(services: Services) -> None:
    """Make sure of what nothing goes without: Python, packages, disk, permissions.

    Raises:
        ConfigError: Something is in the way; a line each, with what to do.
    """
    needed = [
        _python(), *_packages(), _disk(services), _writable(services), *_programs(services),
    ]  # fmt: skip
    if bad := [f for f in needed if not f.good]:
        raise ConfigError("\n".join(f"{f.what}: {f.found}; {f.mend}" for f in bad))


def _python() -> Finding:
    own = sys.version_info[:2]
    good = PYTHON[0] <= own < PYTHON[1]
    return Finding("python", good, platform.python_version(), "use Python 3.11 or 3.12: make setup")


def _packages() -> list[Finding]:
    findings = []
    for name, floor in FLOORS.items():
        try:
            found = version(name)
        except PackageNotFoundError:
            findings.append(Finding(name, good=False, found="not installed", mend="make setup"))
            continue
        numbers = tuple(int(part) for part in found.split(".")[:2])
        findings.append(Finding(name, numbers >= floor, found, "make setup"))
    return findings


def _disk(services: Services) -> Finding:
    free = shutil.disk_usage(services.home).free / GIGABYTE
    return Finding(
        "disk",
        free >= DISK_GB,
        f"{free:.1f} GB free in {services.home}",
        f"free {DISK_GB} GB there, or set PERENNIAL_HOME to a larger disk",
    )


def _memory() -> Finding:
    import psutil

    total = psutil.virtual_memory().available / GIGABYTE
    return Finding(
        "memory",
        total >= MEMORY_GB,
        f"{total:.1f} GB available",
        f"close what takes it: {MEMORY_GB} GB are wanted",
    )


def _writable(services: Services) -> Finding:
    good = os.access(services.home, os.W_OK)
    return Finding(
        "permissions", good, f"{services.home} is {'' if good else 'not '}writable",
        "set PERENNIAL_HOME to a folder of yours",
    )  # fmt: skip


def _ports(services: Services) -> list[Finding]:
    known = services.processes.known()
    findings = []
    for name in (name for name in PREFERRED if name in services.names):
        preferred = PREFERRED[name]
        own = name in known and known[name].alive
        port = known[name].port if own else preferred
        with socket.socket() as probe:
            taken = probe.connect_ex((services.given.host, port or preferred)) == 0
        said = "ours" if own else "taken: the next free one is used" if taken else "free"
        findings.append(Finding(f"port {port}", good=True, found=f"{name}: {said}"))
    return findings


def _programs(services: Services) -> list[Finding]:
    """Look for the programs of servers that nobody gave an address for."""
    findings = []
    for name in servers.wanted(services.given):
        what, _, mend = servers.SERVERS[name].missing().partition("; ")
        findings.append(Finding(name, not what, what or "there", mend))
    return findings


def _pipelines(services: Services) -> Finding:
    try:
        names = [p.name for p in config.load_all(services.given.pipelines)]
    except ConfigError as fault:
        return Finding("pipelines", good=False, found=str(fault), mend="mend what it names")
    return Finding("pipelines", bool(names), ", ".join(names) or "none", "add a YAML file")


def _services(services: Services) -> list[Finding]:
    known = services.processes.known()
    if not known:
        return [Finding("services", good=True, found="not started", mend="perennial up")]
    dead = services.dead()
    said = f"not running: {', '.join(dead)}" if dead else "all running"
    return [Finding("services", not dead, said, "perennial up starts what is missing")]
