"""Processes of ours that run on after the command: started, known again, ended by id."""

from __future__ import annotations

import json
import os
import pwd
import signal
import subprocess
from contextlib import suppress
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING

import psutil
from ml_launch import tree

from ml_tasks.config import ROOT
from ml_tasks.errors import ConfigError
from ml_tasks.io.content import bytes_hash
from ml_tasks.io.source import lock

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

STOP_SECONDS = 8
"""From SIGTERM to SIGKILL: a training writes its checkpoint meanwhile."""
FLUSH_SECONDS = 30
"""How long Postgres may write down what it holds, before it is ended without."""
TAIL_LINES = 15
HELD = ("ml_tasks/**/*.py", "plugins/**/*.py", "perennial/tracking_server.py")
"""Whose code runs in services, too; a task reads its own anew."""
BOOT = Path("/proc/sys/kernel/random/boot_id")
MARK = "PERENNIAL_SERVICES_OF"
"""Stands in the environment of all that the services of a home start, with the home's path."""


@dataclass(frozen=True, slots=True)
class Running:
    """A process that was started; with its creation time nobody else's is taken for it."""

    pid: int
    created: float
    """Seconds since the machine started, on Linux; elsewhere in time of day."""
    log: str
    port: int | None
    stopped: bool = False
    """Whether it was ended because somebody wanted it so."""
    stands_on: str = ""
    """What it was started with, as `installed` gives it."""
    boot: str = ""
    """Which start of the machine that was, on Linux; older versions did not write it."""

    @property
    def alive(self) -> bool:
        """Whether it still runs."""
        if self.boot and self.boot != _boot():
            return False
        try:
            process = psutil.Process(self.pid)
            # The second is what older versions wrote.
            ours = any(
                abs(at - self.created) < 1 for at in (_begun(process), process.create_time())
            )
            return ours and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return False


class Processes:
    """The processes of one home, recorded in its `services.json`."""

    def __init__(self, home: Path) -> None:
        """Remember where the record is."""
        self.home = home
        self._file = home / "services.json"

    def known(self) -> dict[str, Running]:
        """Give the recorded processes by name, whether or not they still run.

        Raises:
            ConfigError: The record cannot be read.
        """
        if not self._file.is_file():
            return {}
        try:
            found = json.loads(self._file.read_text())
        except ValueError as fault:
            raise ConfigError(
                f"{self._file}: {fault}; remove it: `perennial up` then ends what still runs here, "
                "and starts it anew"
            ) from fault
        known = {field.name for field in fields(Running)}
        return {
            # A later version may have written more.
            name: Running(**{field: value for field, value in told.items() if field in known})
            for name, told in found.items()
        }

    def start(
        self,
        name: str,
        argv: list[str],
        environ: Mapping[str, str],
        port: int | None = None,
        user: str | None = None,
    ) -> Running:
        """Start a process in a session of its own and record it; as `user` where one is named."""
        log = self.home / "logs" / f"{name}.log"
        log.parent.mkdir(parents=True, exist_ok=True)
        stands_on = installed()
        with log.open("ab") as stream:
            process = subprocess.Popen(
                argv,
                env={**os.environ, **environ, MARK: str(self.home)},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=stream,
                start_new_session=True,
                cwd=self.home,
                user=user,
                group=user and pwd.getpwnam(user).pw_gid,
                extra_groups=user and [],
            )
        begun = _begun(psutil.Process(process.pid))
        running = Running(process.pid, begun, str(log), port, stands_on=stands_on, boot=_boot())
        self._record({**self.known(), name: running})
        return running

    def outdated(self, ports: Mapping[str, int]) -> bool:
        """Tell whether what runs was told other ports, or was started with code that has changed.

        Args:
            ports: Where services are to listen, by name.
        """
        known, now = self.known(), installed()
        moved = any(name in known and known[name].port != port for name, port in ports.items())
        return moved or any(one.alive and one.stands_on != now for one in known.values())

    def end(self, name: str) -> None:
        """End a recorded process, with all that it started."""
        running = self.known()[name]
        if name == "postgres":
            # To SIGTERM alone it waits until its last client has gone.
            with suppress(psutil.Error):
                psutil.Process(running.pid).send_signal(signal.SIGINT)
                psutil.Process(running.pid).wait(FLUSH_SECONDS)
        tree.end(running.pid, grace=STOP_SECONDS)

    def note_stopped(self, names: Collection[str]) -> None:
        """Record that these were ended on purpose: they did not break down."""
        if names:
            known = self.known().items()
            self._record({n: replace(r, stopped=n in names or r.stopped) for n, r in known})

    def end_strays(self) -> None:
        """End what services of this home started and left behind when they were killed."""
        owned = {m.pid for one in self.known().values() if one.alive for m in tree.members(one.pid)}
        for process in psutil.process_iter():
            try:
                ours = process.environ().get(MARK) == str(self.home)
            except psutil.Error:
                continue
            if ours and process.pid not in owned:
                tree.end(process.pid, grace=STOP_SECONDS)

    def _record(self, known: Mapping[str, Running]) -> None:
        draft = self._file.with_suffix(".draft")
        draft.write_text(json.dumps({n: asdict(r) for n, r in known.items()}, indent=2))
        draft.replace(self._file)


def _begun(process: psutil.Process) -> float:
    """Say when a process began, whatever is done to the clock: Linux then moves the time of day."""
    created: float = process.create_time()
    return created - psutil.boot_time() if psutil.LINUX else created


def _boot() -> str:
    """Name this start of the machine: the next one numbers processes anew, from the same on."""
    return BOOT.read_text().strip() if BOOT.is_file() else ""


def installed() -> str:
    """Give a hash of what services hold in memory: the locked packages, and our code in them."""
    files = sorted(file for held in HELD for file in ROOT.glob(held) if file.is_file())
    parts = [f"{file.relative_to(ROOT)} {bytes_hash(file.read_bytes())}" for file in files]
    return bytes_hash("\n".join([lock(), *parts]).encode())


def tail(running: Running) -> str:
    """Give the last lines of a process's log."""
    with open(running.log, errors="replace") as stream:  # noqa: PTH123 - kept as text
        return "".join(stream.readlines()[-TAIL_LINES:])


def begin(argv: Sequence[str], environ: Mapping[str, str], log: Path) -> subprocess.Popen[bytes]:
    """Start a command with its output in a file."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as stream:
        return subprocess.Popen(
            argv,
            env={**os.environ, **environ},
            stdin=subprocess.DEVNULL,
            stdout=stream,
            stderr=stream,
        )


def call(argv: Sequence[str], environ: Mapping[str, str], log: Path) -> int:
    """Run a command to its end, with its output in a file."""
    with begin(argv, environ, log) as process:
        try:
            return process.wait()
        except BaseException:
            process.kill()
            raise
