"""Postgres: a cluster below the home."""

from __future__ import annotations

import os
import pwd
import re
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import psutil

from ml_tasks.errors import BackendError, ConfigError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from ml_tasks.config import Environment
    from perennial.servers.place import Place

FOLDERS = ("/usr/lib/postgresql/{}/bin", "/opt/homebrew/opt/postgresql@{}/bin")
"""Where Debian and Homebrew keep it, by version: off the path."""
SUPERUSER = "postgres"
CONNECTIONS = 200
ENDED_SECONDS = 10


class Postgres:
    """A cluster below the home, with a superuser of its own."""

    def __init__(self) -> None:
        """Choose the user: Postgres refuses root."""
        self.user = _servant() if os.geteuid() == 0 else None

    def given(self, environment: Environment) -> bool:
        """Tell whether there is an address."""
        return bool(environment.postgres_url)

    def missing(self) -> str:
        """Say what to do where the program is not there; empty where it is."""
        if _postgres_folder("*") is not None:
            return ""
        return (
            "Postgres: no initdb on the path or in /usr/lib/postgresql; apt-get install "
            "postgresql, or brew install postgresql@17, or give PERENNIAL_POSTGRES_URL"
        )

    def prepare(self, place: Place) -> None:
        """Make the cluster once, and remove what a server that was killed left behind.

        Raises:
            ConfigError: Its user cannot enter the home.
            BackendError: The cluster cannot be made.
        """
        data = self._data(place)
        if data.is_dir():
            _end_killed(data)
            return
        folder = data.parent
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if self.user is not None:
            shutil.chown(folder, self.user)
            if self._call(["test", "-x", str(folder)]).returncode:
                raise ConfigError(
                    f"PERENNIAL_HOME: the user {self.user} cannot enter {place.home}, and Postgres "
                    "refuses root; wanted a folder whose parents others may enter (chmod o+x), or "
                    "PERENNIAL_POSTGRES_URL"
                )
        draft, word = folder / "draft", folder / "password"
        shutil.rmtree(draft, ignore_errors=True)
        word.touch(mode=0o600)
        word.write_text(place.secret(SUPERUSER))
        if self.user is not None:
            shutil.chown(word, self.user)
        made = self._call([
            *(self._program("initdb", place), "--pgdata", str(draft), "--pwfile", str(word)),
            *("--username", SUPERUSER, "--auth", "scram-sha-256"),
            *("--encoding", "UTF8", "--locale", "C"),
        ])  # fmt: skip
        word.unlink()
        if made.returncode:
            raise BackendError(f"Postgres: initdb failed in {draft}: {made.stderr.strip()}")
        with (draft / "pg_hba.conf").open("a") as rules:
            rules.write("host all all all scram-sha-256\n")
        draft.rename(data)

    def argv(self, place: Place) -> list[str]:
        """Give the command line; who connects does so by TCP alone."""
        told = {
            "listen_addresses": place.host,
            "port": place.port,
            "unix_socket_directories": "",
            "max_connections": CONNECTIONS,
        }
        return [
            *(self._program("postgres", place), "-D", str(self._data(place))),
            *(word for name, value in told.items() for word in ("-c", f"{name}={value}")),
        ]

    def environ(self, _place: Place) -> Mapping[str, str]:
        """Give nothing."""
        return {}

    def ready(self, place: Place) -> bool:
        """Tell whether one may log in."""
        import psycopg

        try:
            psycopg.connect(
                host=place.host,
                port=place.port,
                user=SUPERUSER,
                password=place.secret(SUPERUSER),
                dbname="postgres",
                connect_timeout=3,
            ).close()
        except psycopg.OperationalError:
            return False
        return True

    def _data(self, place: Place) -> Path:
        return place.home / "postgres" / "data"

    def _program(self, name: str, place: Place) -> str:
        """Give the path of one of Postgres's programs, of the version that made the cluster."""
        made = self._data(place) / "PG_VERSION"
        version = made.read_text().strip() if made.is_file() else "*"
        folder = _postgres_folder(version) or _postgres_folder("*")
        if folder is None:
            raise ConfigError(self.missing())
        return str(folder / name)

    def _call(self, argv: Sequence[str]) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            argv, user=self.user, cwd="/", capture_output=True, text=True, check=False
        )


def _servant() -> str:
    """Give a user that is not root: Debian's own for Postgres, where it is there."""
    names = {entry.pw_name for entry in pwd.getpwall()}
    return SUPERUSER if SUPERUSER in names else "nobody"


def _postgres_folder(version: str) -> Path | None:
    """Give the folder of Postgres's programs: of a version, or of the newest for `*`."""
    found = shutil.which("initdb")
    if found is not None and version == "*":
        return Path(found).resolve().parent
    folders = [
        path
        for pattern in FOLDERS
        for path in Path("/").glob(pattern.format(version).lstrip("/"))
        if (path / "initdb").is_file()
    ]
    return max(folders, key=lambda path: int("0" + re.sub(r"\D", "", str(path))), default=None)


def _end_killed(data: Path) -> None:
    """End what a killed server left behind: its mark, and children that have not noticed yet.

    Postgres does not start beside a child that still holds the shared memory. Children write over
    their environment, hence they are known by their folder, which is the cluster's.
    """
    left = [process for process in psutil.process_iter() if _serves(process.pid, data)]
    mark = data / "postmaster.pid"
    if mark.is_file():
        # That of a single user has a minus before it; of one that has just begun there is none.
        first = mark.read_text().partition("\n")[0].strip().lstrip("-")
        lives = _serves(int(first), data) is not False if first.isdigit() else bool(left)
        if lives:
            return
        mark.unlink()
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, ENDED_SECONDS)


def _serves(pid: int, data: Path) -> bool | None:
    """Tell whether a process is a cluster's; `None` where it hides its folder from this user."""
    try:
        process = psutil.Process(pid)
        if process.name() != "postgres":
            return False
        # Linux has the folder itself: the path may mean another one in a container.
        folder = Path(f"/proc/{pid}/cwd")
        return (folder if folder.exists() else Path(process.cwd())).samefile(data)
    except (psutil.NoSuchProcess, FileNotFoundError):
        return False
    except (psutil.AccessDenied, PermissionError):
        return None
