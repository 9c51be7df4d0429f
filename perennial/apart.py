"""Places that share nothing with others, for runs that are not to be seen there."""

from __future__ import annotations

import shutil
from contextlib import contextmanager
from typing import TYPE_CHECKING

import sqlalchemy as sa

from ml_tasks.config import Environment
from ml_tasks.errors import ConfigError
from ml_tasks.io import objects

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

DATABASES = ("control_url", "catalog_url", "feast_registry")
REDIS_DATABASE = 1
"""Feast has 0."""


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
        ConfigError: There are no servers for pods to reach.
    """
    folder = given.home / "parity" / stamp
    made = [
        _on_servers(given, f"parity_{stamp}_{number}")
        if kind == "kubernetes"
        else _on_this_machine(given, folder / str(number))
        for number, kind in enumerate(kinds, 1)
    ]
    try:
        yield made
    finally:
        if not keep:
            for one in made:
                _remove(one)
            shutil.rmtree(folder, ignore_errors=True)


def _on_this_machine(given: Environment, home: object) -> Environment:
    told = {
        "home": home,
        "profile": "embedded",
        "launcher": "local",
        "pipelines": given.pipelines,
        "landing": given.landing_root,
        "commit": given.commit,
    }
    return Environment.model_validate(told)


def _on_servers(given: Environment, name: str) -> Environment:
    from perennial.cluster import Namespace

    if given.profile != "servers":
        raise ConfigError(
            "parity: came PERENNIAL_PROFILE=embedded, wanted servers for the side in pods: "
            "perennial up --profile servers"
        )
    told = {
        "launcher": "kubernetes",
        "objects": f"{given.objects_root}/{name}",
        "warehouse": f"{given.warehouse_root}/{name}",
        "landing": given.landing_root,
        "redis_url": given.redis.rpartition("/")[0] + f"/{REDIS_DATABASE}",
        "secret": name.replace("_", "-"),
    }
    for field in DATABASES:
        told[field] = _schema(str(getattr(given, field)), name)
    made = given.model_copy(update=told)
    Namespace(made.namespace).put_secret(made.secret, made.secret_variables())
    return made


def _schema(url: str, name: str) -> str:
    """Make a schema in a database; give the address under which it is the only one."""
    _do(url, f"CREATE SCHEMA {name}")
    at = sa.make_url(url).update_query_dict({"options": f"-csearch_path={name}"})
    return at.render_as_string(hide_password=False)


def _remove(made: Environment) -> None:
    if made.launcher != "kubernetes":
        return
    from perennial.cluster import Namespace

    Namespace(made.namespace).delete_secret(made.secret)
    for field in DATABASES:
        url = str(getattr(made, field))
        name = str(sa.make_url(url).query["options"]).partition("=")[2]
        _do(url, f"DROP SCHEMA {name} CASCADE")
    for root in (made.objects_root, made.warehouse_root):
        for found in objects.find(root):
            objects.delete(found.uri)


def _do(url: str, statement: str) -> None:
    engine = sa.create_engine(url, poolclass=sa.pool.NullPool)
    with engine.begin() as connection:
        connection.exec_driver_sql(statement)
