"""The only reader of the environment."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal
from urllib.parse import unquote, urlsplit

from pydantic import AliasChoices, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ml_tasks.config.numbers import Days, Real
from ml_tasks.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]
ADDRESSES = (
    "objects", "warehouse", "control_url", "catalog_url", "redis_url", "feast_registry",
)  # fmt: skip
"""What the profile `servers` wants."""
SECRET = (
    "control_url", "catalog_url", "redis_url", "feast_registry",
    "aws_access_key_id", "aws_secret_access_key", "aws_session_token",
)  # fmt: skip
ODD = frozenset("?#%")
"""What a path should not hold that becomes part of an address."""
_NAMES = {
    "s3_endpoint": ("PERENNIAL_S3_ENDPOINT", "AWS_ENDPOINT_URL"),
    "aws_access_key_id": ("AWS_ACCESS_KEY_ID",),
    "aws_secret_access_key": ("AWS_SECRET_ACCESS_KEY",),
    "aws_session_token": ("AWS_SESSION_TOKEN",),
    "aws_region": ("AWS_REGION", "AWS_DEFAULT_REGION"),
}
"""Variables that are not called after their field; pyarrow and boto3 read those of AWS."""


class Environment(BaseSettings):
    """Where state lives and where tasks run: `PERENNIAL_*` variables, with defaults that run."""

    model_config = SettingsConfigDict(
        env_prefix="PERENNIAL_",
        frozen=True,
        extra="ignore",
        use_attribute_docstrings=True,
        populate_by_name=True,
    )

    profile: Literal["embedded", "servers"] = "embedded"
    launcher: Literal["local", "kubernetes"] = "local"
    home: Path = Field(ROOT / ".perennial", validate_default=True)
    """All state of the embedded profile; logs, secrets and data of what `perennial up` starts."""
    host: str = "127.0.0.1"
    """The address on which services listen, and which others are told: pods too."""
    pipelines: Path = ROOT / "ml_tasks" / "pipelines"
    objects: str = ""
    """Root of results, sets, models, capsules: `file://` or `s3://`."""
    control_url: str = ""
    """SQLAlchemy address of the control database."""
    catalog_url: str = ""
    """SQLAlchemy address of the Iceberg catalog."""
    warehouse: str = ""
    """Root of the lake's tables: `file://` or `s3://`."""
    redis_url: str = ""
    """Feast's online store on the profile `servers`: `redis://:password@host:port/0`."""
    feast_registry: str = ""
    """SQLAlchemy address of Feast's registry on the profile `servers`."""
    mlflow_url: str = ""
    """The MLflow tracking server; where none is named only this home's own is spoken to."""
    landing: str = ""
    """Root of the landing zone: `file://` or `s3://`."""
    s3_endpoint: str = Field(
        "", validation_alias=AliasChoices("PERENNIAL_S3_ENDPOINT", "AWS_ENDPOINT_URL")
    )
    """Address of an S3 server that is not AWS's; boto3's `AWS_ENDPOINT_URL` says it too."""
    aws_access_key_id: str = Field("", validation_alias="AWS_ACCESS_KEY_ID")
    aws_secret_access_key: str = Field("", validation_alias="AWS_SECRET_ACCESS_KEY")
    aws_session_token: str = Field("", validation_alias="AWS_SESSION_TOKEN")
    aws_region: str = Field("", validation_alias=AliasChoices("AWS_REGION", "AWS_DEFAULT_REGION"))
    """As boto3 knows them; none for a machine that has a role."""
    postgres_url: str = Field("", exclude=True)
    """A Postgres server and who may make databases on it, for `perennial up` alone."""
    bucket: str = Field("", exclude=True)
    """Where `perennial up` lays out lake, objects, landing zone and MLflow's artifacts."""
    keep_days: Days = Field(90, gt=0)
    """How long what old runs left is kept; `perennial clean` takes away what nothing needs."""
    commit: str = ""
    """The source's commit, where git cannot be asked: in an image."""
    warm_socket: Path | None = None
    """Socket of the warm launcher; without it a task is a fresh process."""
    namespace: str = "perennial"
    """Namespace of the cluster in which tasks run."""
    image: str = "perennial/tasks:0.1.0"
    """What pods run."""
    gpu_image: str = ""
    """What pods run that ask for GPUs; the other image without it."""
    secret: str = "perennial-environment"  # noqa: S105 - a name
    """Kubernetes Secret whose entries are the variables that hold logins."""
    pod_template: Path | None = None
    """Manifest of a Pod to which each task's is added: volumes, annotations, pull secrets."""
    pending_minutes: Real = Field(30, gt=0)
    """How long a pod may wait for a node; time in a queue does not count."""
    prices: Path | None = None
    """What computing costs, as YAML; example figures without it."""
    runbook: str = "docs/runbook.md"
    """Where people read docs/runbook.md; alerts lead to its sections."""

    @field_validator("home", "pipelines", "warm_socket", "pod_template", "prices")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """Processes with other working directories are told the same place."""
        return path and path.expanduser().absolute()

    @field_validator("home")
    @classmethod
    def _named_plainly(cls, home: Path) -> Path:
        """One that was made before goes on as it is; a new one would be no better."""
        if not any(_there(home / name) for name in ("control.db", "environment.json")):
            _require_plain(home)
        return home

    @field_validator("objects", "landing")
    @classmethod
    def _in_one_form(cls, address: str) -> str:
        """What is listed below a root is told from others by its first characters."""
        path = _path(address)
        return _tidy(address) if path is None else path.as_uri()

    @field_validator("warehouse")
    @classmethod
    def _as_iceberg_reads_it(cls, address: str) -> str:
        path = _path(address)
        if path is None:
            return _tidy(address)
        _require_plain(path)
        return _unquoted(path)

    @field_validator("host")
    @classmethod
    def _one_address(cls, host: str) -> str:
        if host in {"", "0.0.0.0", "::"}:  # noqa: S104 - that is what is refused
            raise ValueError("one address of this machine: others are told it")
        return host

    @model_validator(mode="after")
    def _reachable(self) -> Environment:
        if self.launcher == "kubernetes" and self.profile == "embedded":
            raise ConfigError(
                "PERENNIAL_LAUNCHER=kubernetes: came PERENNIAL_PROFILE=embedded, wanted servers: "
                "pods reach neither SQLite nor file://"
            )
        return self

    def variables(self) -> dict[str, str]:
        """Give the settings as environment variables, for the processes that tasks are."""
        return {**self.plain_variables(), **self.secret_variables()}

    def enter(self) -> None:
        """Set what libraries read by themselves in this process: how to reach the object store."""
        os.environ.update({n: v for n, v in self.variables().items() if n.startswith("AWS_")})

    def secret_variables(self) -> dict[str, str]:
        """Give those that hold logins: addresses with passwords, and keys of the object store."""
        return {n: v for name in SECRET for n, v in self._named(name).items()}

    def plain_variables(self) -> dict[str, str]:
        """Give those that anybody may read."""
        return {
            n: v
            for name, field in type(self).model_fields.items()
            if name not in SECRET and not field.exclude
            for n, v in self._named(name).items()
        }

    def _named(self, field: str) -> dict[str, str]:
        value = getattr(self, field)
        names = _NAMES.get(field, (f"PERENNIAL_{field.upper()}",))
        return {} if value in (None, "") else dict.fromkeys(names, str(value))

    def _of_profile(self, given: str, below_home: str) -> str:
        """Give an address as given, or the embedded profile's.

        Raises:
            ConfigError: The profile is `servers`, and nobody gave it.
        """
        if given or self.profile == "embedded":
            return (given or below_home).rstrip("/")
        missing = [f"PERENNIAL_{name.upper()}" for name in ADDRESSES if not getattr(self, name)]
        raise ConfigError(
            f"PERENNIAL_PROFILE=servers: {', '.join(missing)} came empty, wanted addresses that "
            "all tasks reach; `perennial up --profile servers` starts what they name"
        )

    @property
    def objects_root(self) -> str:
        """Root of results, sets, models and capsules, as `objects.find` spells what lies below."""
        return self._of_profile(self.objects, (self.home / "objects").as_uri())

    def run_folder(self, pipeline: str, run: str) -> str:
        """Give the address below which a run's objects lie, `<task>/<attempt>/…`."""
        return f"{self.objects_root}/runs/{pipeline}/{run}"

    @property
    def control(self) -> str:
        """SQLAlchemy address of the control database."""
        return self._of_profile(self.control_url, f"sqlite:///{self.home}/control.db")

    @property
    def catalog(self) -> str:
        """SQLAlchemy address of the Iceberg catalog."""
        return self._of_profile(self.catalog_url, f"sqlite:///{self.home}/catalog.db")

    @property
    def catalog_properties(self) -> dict[str, str]:
        """What the catalog is told beside its address and the warehouse."""
        told = {"s3.endpoint": self.s3_endpoint, "s3.region": self.aws_region}
        return {name: value for name, value in told.items() if value}

    @property
    def redis(self) -> str:
        """Address of Feast's online store; the embedded profile keeps it in a file."""
        return self._of_profile(self.redis_url, "")

    @property
    def feast(self) -> str:
        """SQLAlchemy address of Feast's registry; the embedded profile keeps it in a file."""
        return self._of_profile(self.feast_registry, "")

    @property
    def warehouse_root(self) -> str:
        """Root of the lake's tables."""
        return self._of_profile(self.warehouse, _unquoted(self.home / "warehouse"))

    @property
    def landing_root(self) -> str:
        """Root of the landing zone."""
        return self.landing or (self.home / "landing").as_uri()


def _path(address: str) -> Path | None:
    """Give the path of a `file:` address in its one form; `None` for another, or none at all."""
    parts = urlsplit(address)
    if parts.scheme != "file":
        if address and not (parts.scheme == "s3" and parts.netloc):
            raise ValueError("file:///… or s3://bucket/…")
        return None
    if parts.netloc or parts.query or parts.fragment or not parts.path.startswith("/"):
        raise ValueError("file:/// and a path from the root, with ? and # as %3F and %23")
    return Path(os.path.normpath(unquote(parts.path)))


def _tidy(address: str) -> str:
    """Give an address of S3 as Arrow lists it."""
    scheme, mark, rest = address.partition("://")
    return f"{scheme}{mark}{re.sub('/+', '/', rest).rstrip('/')}"


def _unquoted(path: Path) -> str:
    """Give a folder's address as PyIceberg reads it: what is quoted stays so, and is a name."""
    return path.as_uri() if ODD & set(str(path)) else f"file://{path}"


def _there(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # it may not be looked at: whoever opens it says so
        return True


def _require_plain(path: Path) -> None:
    if found := ODD & set(str(path)):
        raise ValueError(
            f"a path without {' '.join(sorted(found))}, which would end or change the addresses of "
            "tables and databases in it"
        )


def named(variable: str) -> str:
    """Give a variable that a product's YAML names; empty where nobody set it."""
    return os.environ.get(variable, "")
