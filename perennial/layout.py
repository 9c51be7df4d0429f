"""Makes the databases and the bucket that the servers of a home hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from ml_tasks.errors import BackendError, ConfigError
from ml_tasks.io.database import BUSY_SECONDS
from perennial import addresses, servers

if TYPE_CHECKING:
    import sqlalchemy as sa

    from ml_tasks.config import Environment


def make(given: Environment, resolved: Environment, at: str) -> None:
    """Make what is not there yet; the same again changes nothing.

    Args:
        given: What a person said.
        resolved: The same with all addresses.
        at: Host and port of this home's own Postgres.

    Raises:
        BackendError: A server does not answer, or refuses.
        ConfigError: A role is there whose password this home does not know.
    """
    server = addresses.superuser(given, at)
    for name in databases(given):
        _database(server, addresses.database(given, at, name))
    _bucket(resolved)


def databases(given: Environment) -> list[str]:
    """Give the names of those that nobody gave an address for."""
    needed = {
        "airflow": True,
        "control": not given.control_url,
        "catalog": not given.catalog_url,
        "feast": not given.feast_registry,
        "mlflow": addresses.mlflow_wanted(given),
    }
    return [name for name, wanted in needed.items() if wanted]


def _database(server: sa.URL, url: sa.URL) -> None:
    import psycopg
    from psycopg import sql

    role, name = sql.Identifier(url.username or ""), url.database or ""
    word = sql.Literal(url.password)
    try:
        with psycopg.connect(
            _plain(server.set(database="postgres")), autocommit=True
        ) as connection:
            look = "SELECT 1 FROM pg_roles WHERE rolname = %s"
            if connection.execute(look, (url.username,)).fetchone() is None:
                connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, word))
            look = "SELECT 1 FROM pg_database WHERE datname = %s"
            if connection.execute(look, (name,)).fetchone() is None:
                # Who makes a database for a role has to be a member of it, unless a superuser.
                connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(role))
                made = sql.SQL("CREATE DATABASE {} OWNER {} ENCODING 'UTF8' TEMPLATE template0")
                connection.execute(made.format(sql.Identifier(name), role))
                closed = sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC")
                connection.execute(closed.format(sql.Identifier(name)))
    except psycopg.Error as fault:
        raise BackendError(f"Postgres at {server.host}:{server.port}: {fault}") from fault
    try:
        psycopg.connect(_plain(url)).close()
    except psycopg.OperationalError as fault:
        raise ConfigError(
            f"Postgres at {server.host}:{server.port}: role {url.username} is there, but this "
            "home's password for it is refused; another home's? Name another database at the end "
            "of PERENNIAL_POSTGRES_URL, from which the roles are called"
        ) from fault


def _plain(url: sa.URL) -> str:
    return url.set(drivername="postgresql").render_as_string(hide_password=False)


def s3(resolved: Environment) -> Any:
    """Give a client of the object store."""
    import boto3

    return boto3.client(
        "s3",
        endpoint_url=resolved.s3_endpoint or None,
        aws_access_key_id=resolved.aws_access_key_id or None,
        aws_secret_access_key=resolved.aws_secret_access_key or None,
        aws_session_token=resolved.aws_session_token or None,
        region_name=resolved.aws_region or None,
    )


def _bucket(resolved: Environment) -> None:
    """Make the buckets of the addresses that are on S3."""
    import botocore.exceptions

    roots = (resolved.objects, resolved.warehouse, resolved.landing, artifacts(resolved))
    names = {urlsplit(root).netloc for root in roots if root.startswith("s3://")}
    client = s3(resolved)
    region = resolved.aws_region
    elsewhere = region not in {"", servers.REGION} and not resolved.s3_endpoint
    where = {"CreateBucketConfiguration": {"LocationConstraint": region}} if elsewhere else {}
    for name in sorted(names):
        try:
            try:
                client.head_bucket(Bucket=name)
            except client.exceptions.ClientError as fault:
                if fault.response["Error"]["Code"] not in {"404", "NoSuchBucket"}:
                    raise
                client.create_bucket(Bucket=name, **where)
        except (botocore.exceptions.ClientError, botocore.exceptions.BotoCoreError) as fault:
            said = f"S3 at {resolved.s3_endpoint or 'AWS'}, bucket {name}: {fault}"
            raise BackendError(said) from fault


def kept(given: Environment, resolved: Environment, at: str) -> tuple[dict[str, str], str]:
    """Give where Airflow and MLflow keep what is theirs.

    Args:
        given: What a person said.
        resolved: The same with all addresses.
        at: Host and port of this home's own Postgres.

    Returns:
        The databases of both, and the root of MLflow's artifacts.
    """
    names = ("airflow", "mlflow")
    if given.profile == "embedded":
        files = {name: f"sqlite:///{given.home}/{name}.db" for name in names}
        # Of its own accord SQLite waits for five seconds; MLflow says to it how long itself.
        files["airflow"] += f"?timeout={BUSY_SECONDS}"
        return files, (given.home / "mlflow").as_uri()
    urls = {name: addresses.database(given, at, name) for name in names}
    return (
        {name: url.render_as_string(hide_password=False) for name, url in urls.items()},
        artifacts(resolved),
    )


def artifacts(resolved: Environment) -> str:
    """Give where MLflow's server keeps artifacts: among the objects."""
    return f"{resolved.objects_root}/mlflow"
