"""Which addresses the tasks of a home are given, and what the home remembers of them."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import sqlalchemy as sa

from ml_tasks.config import Environment
from ml_tasks.errors import ConfigError
from perennial import servers, settings
from perennial.processes import Processes
from perennial.settings import PSYCOPG

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

FILE = "environment.json"
BUCKET = "perennial"
PREFERRED = {"api-server": 8080, "mlflow": 5000, "postgres": 5432, "redis": 6379, "s3": 7070}
FLEETING = ("home", "warm_socket", "commit", "aws_session_token")
KEYS = ("aws_access_key_id", "aws_secret_access_key")


def recall(profile: str | None = None) -> Environment:
    """Give the environment with what the home remembers of its services' last start.

    Variables go before what is remembered, but for those that only repeat what this home has made.

    Args:
        profile: What the command line says.

    Raises:
        ConfigError: The home was made with another profile.
    """
    probe = Environment(profile="servers")  # which lets every launcher pass
    told = _told(probe)
    said = Environment(launcher="local").model_fields_set
    wanted = profile or (Environment(launcher="local").profile if "profile" in said else None)
    kept = remembered(probe.home)
    made = kept.get("profile")
    if made and wanted and made != wanted:
        raise ConfigError(
            f"{probe.home}: came profile {wanted}, but it was made with {made}; leave "
            "PERENNIAL_PROFILE and --profile out, or set PERENNIAL_HOME to another folder"
        )
    if made == "servers":
        before = _only({**kept, "home": probe.home})
        known = Processes(probe.home).known()
        own = resolve(before, {name: one.port for name, one in known.items() if one.port})
        told = {field: value for field, value in told.items() if value != getattr(own, field)}
    if "host" in said:
        told["host"] = probe.host  # the usual one, too, goes before what is remembered
    return _only({**kept, **told, "home": probe.home, "profile": made or wanted or "embedded"})


def remember(environment: Environment) -> bool:
    """Keep what a person said, for the next commands; tell whether it is another word than before.

    Keys that are good for hours alone are not kept.
    """
    told: dict[str, Any] = {"profile": environment.profile}
    if environment.profile == "embedded":
        told |= {name: value for name, value in _told(environment).items() if name == "host"}
    if environment.profile == "servers":
        told |= {name: str(value) for name, value in _told(environment).items()}
        left_out = {*FLEETING, *(KEYS if environment.aws_session_token else ())}
        told = {name: value for name, value in told.items() if name not in left_out}
    before = remembered(environment.home)
    if before == told:
        return False
    settings.keep(environment.home / FILE, json.dumps(told, indent=2))
    return bool(before)


def remembered(home: Path) -> dict[str, Any]:
    """Give what the home remembers: its profile and host, and for `servers` what a person said.

    Raises:
        ConfigError: It cannot be read.
    """
    file = home / FILE
    if file.is_file():
        try:
            kept: dict[str, Any] = json.loads(file.read_text())
        except ValueError as fault:
            raise ConfigError(
                f"{file}: {fault}; remove it, and give PERENNIAL_PROFILE and the addresses once "
                "more to `perennial up`"
            ) from fault
        return kept
    return {"profile": "embedded"} if (home / "control.db").is_file() else {}


def resolve(given: Environment, ports: Mapping[str, int]) -> Environment:
    """Give the environment of tasks: what a person gave, and else what this home's services have.

    Args:
        given: What a person said.
        ports: Where the services of the home listen; the usual ones for those that are not there.
    """
    at = {name: f"{given.host}:{ports.get(name, usual)}" for name, usual in PREFERRED.items()}
    own = {}
    if mlflow_wanted(given):
        own["mlflow_url"] = f"http://{at['mlflow']}"
    if given.profile == "servers":
        own |= {n: v for n, v in _of_servers(given, at).items() if not getattr(given, n)}
        if "s3" in servers.wanted(given):
            own |= {
                "s3_endpoint": f"http://{at['s3']}",
                "aws_access_key_id": servers.ACCESS_KEY,
                "aws_secret_access_key": servers.secret(given.home, "s3"),
                "aws_region": servers.REGION,
            }
    return given.model_copy(update=own)


def require_reachable(resolved: Environment) -> None:
    """Make sure that pods reach what they are told, where tasks are pods.

    Raises:
        ConfigError: An address leads back to the pod itself.
    """
    if resolved.launcher != "kubernetes":
        return
    names = (
        "control_url",
        "catalog_url",
        "redis_url",
        "feast_registry",
        "mlflow_url",
        "s3_endpoint",
    )
    own = [name for name in names if _of_itself(getattr(resolved, name))]
    roots = [
        name for name in ("objects", "warehouse") if getattr(resolved, name).startswith("file:")
    ]
    if own or roots:
        said = ", ".join(f"PERENNIAL_{name.upper()}" for name in (*own, *roots))
        raise ConfigError(
            f"PERENNIAL_LAUNCHER=kubernetes: {said} came on this machine's loopback or in its "
            "files, wanted what pods reach; set PERENNIAL_HOST to an address of this machine that "
            "they reach, or give addresses of other servers"
        )


def _of_itself(address: str) -> bool:
    if address.startswith("sqlite"):
        return True
    host = urlsplit(address).hostname or ""
    return host == "localhost" or host == "::1" or host.startswith("127.")


def mlflow_wanted(given: Environment) -> bool:
    """Tell whether MLflow is to be started here."""
    return given.profile == "embedded" or not given.mlflow_url


def superuser(given: Environment, at: str) -> sa.URL:
    """Give the address of who may make databases; `at` is host and port of this home's own."""
    if given.postgres_url:
        return sa.make_url(given.postgres_url).set(drivername=PSYCOPG)
    word = servers.secret(given.home, servers.SUPERUSER)
    return sa.make_url(f"{PSYCOPG}://{servers.SUPERUSER}:{word}@{at}/postgres")


def database(given: Environment, at: str, name: str) -> sa.URL:
    """Give the address of one of the databases; each has a role of its own.

    Their names begin with that of the database in `PERENNIAL_POSTGRES_URL`: two homes may share a
    server.
    """
    server = superuser(given, at)
    prefix = "perennial" if server.database in {None, "", "postgres"} else server.database
    role = f"{prefix}_{name}"
    return server.set(username=role, database=role, password=servers.secret(given.home, role))


def _of_servers(given: Environment, at: Mapping[str, str]) -> dict[str, str]:
    def of(name: str) -> str:
        return database(given, at["postgres"], name).render_as_string(hide_password=False)

    root = f"s3://{given.bucket or BUCKET}"
    return {
        "objects": f"{root}/objects",
        "warehouse": f"{root}/lake",
        "landing": f"{root}/landing",
        "control_url": of("control"),
        "catalog_url": of("catalog"),
        "feast_registry": of("feast"),
        "redis_url": f"redis://:{servers.secret(given.home, 'redis')}@{at['redis']}/0",
    }


def _told(environment: Environment) -> dict[str, Any]:
    """Give what is not as it is by default, without what says where the home is."""
    return {
        name: value
        for name in Environment.model_fields
        if name not in {"home", "profile"}
        and (value := getattr(environment, name)) != _default(name)
    }


def _only(values: Mapping[str, Any]) -> Environment:
    """Give an environment of these values and defaults, whatever the variables say."""
    return Environment(**{**{name: _default(name) for name in Environment.model_fields}, **values})


def _default(name: str) -> Any:
    return Environment.model_fields[name].default
