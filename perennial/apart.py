"""Places that share nothing with others, for runs that are not to be seen there."""

from __future__ import annotations

import shutil
from contextlib import ExitStack, contextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import sqlalchemy as sa

from ml_tasks.config.environment import ADDRESSES
from ml_tasks.errors import BackendError, ConfigError
from ml_tasks.io.backend import said
from ml_tasks.io.database import Database
from perennial import layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from ml_tasks.config import Environment

DATABASES = ("control_url", "catalog_url", "feast_registry")
REDIS_DATABASES = range(1, 16)
"""Which of a Redis's may be taken; tasks have 0."""
AT_ONCE = 1000
"""How many objects S3 removes at a word."""
CLAIM = "perennial:place"
"""Key that says whose a Redis database is for a while."""


@contextmanager
def places(
    given: Environment, kinds: Sequence[str], stamp: str, *, keep: bool
) -> Iterator[list[Environment]]:
    """Make a place of each kind, and remove them in the end.

    Args:
        given: Where the landing zone, the pipelines and the servers are.
        kinds: `local` (this machine alone) or `kubernetes` (the servers, and pods).
        stamp: Tells these places from those of another day.
        keep: Leave them as they are.

    Raises:
        ConfigError: There are no servers for pods to reach, or they have no room apart.
        BackendError: A server does not answer.
    """
    later = ExitStack()
    try:
        yield [
            _on_servers(given, f"parity_{stamp}_{number}", later)
            if kind == "kubernetes"
            else _for_a_while(given, given.home / "parity" / stamp / str(number), later)
            for number, kind in enumerate(kinds, 1)
        ]
    finally:
        if not keep:
            later.close()


def where(place: Environment) -> str:
    """Say what a place that is kept consists of."""
    if place.profile == "embedded":
        return str(place.home)
    folder, number = place.objects_root.rpartition("/")[0], place.redis.rpartition("/")[2]
    schemas = place.secret.replace("-", "_")
    return (
        f"schemas {schemas}_* in the databases of control, catalog and Feast, {folder}/, database "
        f"{number} of Redis, Secret {place.secret} in {place.namespace}"
    )


def _for_a_while(given: Environment, home: Path, later: ExitStack) -> Environment:
    later.callback(_remove_home, home)
    return on_this_machine(given, home)


def on_this_machine(given: Environment, home: Path) -> Environment:
    """Give a home of its own; what addresses the servers have is not told to its tasks.

    Args:
        given: Where the landing zone and the pipelines are.
        home: Its folder.
    """
    told = {
        **dict.fromkeys(ADDRESSES, ""),
        "home": home,
        "profile": "embedded",
        "launcher": "local",
        "landing": given.landing_root,
        "warm_socket": None,
    }
    bare = given.model_copy(update=told)
    # Written out: else a task's process would read those of the servers from its variables.
    own = ("objects_root", "warehouse_root", "control", "catalog")
    names = ("objects", "warehouse", "control_url", "catalog_url")
    return bare.model_copy(
        update={name: getattr(bare, one) for name, one in zip(names, own, strict=True)}
    )


def _remove_home(home: Path) -> None:
    shutil.rmtree(home, ignore_errors=True)
    for above in (home.parent, home.parent.parent):
        with suppress(OSError):  # others are in it
            above.rmdir()


def _on_servers(given: Environment, name: str, later: ExitStack) -> Environment:
    from perennial.cluster import Namespace

    if given.profile != "servers":
        raise ConfigError(
            "parity: came PERENNIAL_PROFILE=embedded, wanted servers for the side in pods: "
            "perennial up --profile servers"
        )
    told = {
        "launcher": "kubernetes",
        "landing": given.landing_root,
        "redis_url": _redis(given.redis, name, later),
        "secret": name.replace("_", "-"),
    }
    for field in DATABASES:
        schema = f"{name}_{field.partition('_')[0]}"
        told[field] = _schema(str(getattr(given, field)), schema, later)
    for field in ("objects", "warehouse"):
        folder = _beside(str(getattr(given, f"{field}_root")), name)
        later.callback(_remove_below, given, folder)
        told[field] = f"{folder}/{field}"
    made = given.model_copy(update=told)
    namespace = Namespace(made.namespace)
    later.callback(namespace.delete_secret, made.secret)
    namespace.put_secret(made.secret, made.secret_variables())
    return made


def _beside(root: str, name: str) -> str:
    """Give a folder beside a root; below it, where it is a whole bucket."""
    above = root.rpartition("/")[0] if urlsplit(root).path else root
    return f"{above}/{name}"


def _remove_below(given: Environment, folder: str) -> None:
    """Remove all objects below a folder, the markers of folders that stores keep too.

    Raises:
        BackendError: The store does not answer, or refuses.
    """
    import botocore.exceptions

    parts, client = urlsplit(folder), layout.s3(given)
    bucket, prefix = parts.netloc, f"{parts.path.strip('/')}/"
    try:
        listed = client.get_paginator("list_objects_v2").paginate(Bucket=bucket, Prefix=prefix)
        keys = sorted(one["Key"] for page in listed for one in page.get("Contents", ()))
        while keys:
            # What lies in a folder goes before it: some stores keep real folders.
            few = [keys.pop() for _ in range(min(len(keys), AT_ONCE))]
            wanted = {"Objects": [{"Key": key} for key in few], "Quiet": True}
            told = client.delete_objects(Bucket=bucket, Delete=wanted)
            if refused := told.get("Errors"):
                raise BackendError(f"{folder}: {refused[0]['Key']}: {refused[0].get('Message')}")
    except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as fault:
        raise BackendError(f"{folder}: cannot be removed: {fault}") from fault


def _schema(url: str, name: str, later: ExitStack) -> str:
    """Make a schema in a database; give the address under which it is the only one."""
    _do(url, f"CREATE SCHEMA {name}")
    later.callback(_do, url, f"DROP SCHEMA {name} CASCADE")
    at = sa.make_url(url)
    options = f"{at.query.get('options', '')} -csearch_path={name}".strip()
    return at.update_query_dict({"options": options}).render_as_string(hide_password=False)


def _do(url: str, statement: str) -> None:
    try:
        with Database(url, "database").transaction() as tx:
            tx.exec_driver_sql(statement)
    except sa.exc.ProgrammingError as fault:
        where = sa.make_url(url).render_as_string(hide_password=True)
        raise ConfigError(
            f"{where}: {statement} was refused: {said(fault.orig)}; wanted a role that may make "
            "schemas there"
        ) from fault


def _redis(url: str, name: str, later: ExitStack) -> str:
    """Claim an empty database of a Redis; give its address.

    Raises:
        ConfigError: None is empty, or there is but one.
        BackendError: The server does not answer.
    """
    from redis.exceptions import RedisError, ResponseError

    taken: list[str] = []
    for number in REDIS_DATABASES:
        own = urlsplit(url)._replace(path=f"/{number}").geturl()
        try:
            whose = _claim(own, name)
        except ResponseError as fault:
            taken.append(str(fault))
            break
        except RedisError as fault:
            raise BackendError(f"Redis at {urlsplit(url).hostname}: {said(fault)}") from fault
        if whose is None:
            later.callback(_release, own, name)
            return own
        taken.append(f"{number} is {whose}")
    raise ConfigError(
        f"Redis at {urlsplit(url).hostname}: came {'; '.join(taken)}; wanted an empty database "
        "beside 0; FLUSHDB one that a parity run left"
    )


def _claim(url: str, name: str) -> str | None:
    """Take a database if it is empty; else say whose it is."""
    from redis import Redis

    with Redis.from_url(url, decode_responses=True) as client:
        if not client.set(CLAIM, name, nx=True):
            return f"that of {client.get(CLAIM)}"
        if client.dbsize() == 1:
            return None
        client.delete(CLAIM)
        return "in use"


def _release(url: str, name: str) -> None:
    from redis import Redis

    with Redis.from_url(url, decode_responses=True) as client:
        if client.get(CLAIM) == name:
            client.flushdb()
