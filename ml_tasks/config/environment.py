"""The only reader of the environment."""

from __future__ import annotations

from functools import cached_property
from pathlib import Path
from typing import Literal

from pydantic import AliasChoices, Field, field_validator, model_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from ml_tasks.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]


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
    home: Path = ROOT / ".perennial"
    """All state of the embedded profile."""
    pipelines: Path = ROOT / "ml_tasks" / "pipelines"
    objects: str = ""
    """Root of results, sets, models, capsules: `file://` or `s3://`."""
    control_url: str = ""
    """SQLAlchemy address of the control database."""
    catalog_url: str = ""
    """SQLAlchemy address of the Iceberg catalog."""
    warehouse: str = ""
    """Root of the lake's tables: `file://` or `s3://`."""
    mlflow_url: str = "http://127.0.0.1:5000"
    """The MLflow tracking server."""
    landing: str = ""
    """Root of the landing zone: `file://` or `s3://`."""
    s3_endpoint: str = Field(
        "", validation_alias=AliasChoices("PERENNIAL_S3_ENDPOINT", "AWS_ENDPOINT_URL")
    )
    """Address of an S3 server that is not AWS's; boto3's `AWS_ENDPOINT_URL` says it too."""
    commit: str = ""
    """The source's commit, where git cannot be asked: in an image."""
    warm_socket: Path | None = None
    """Socket of the warm launcher; without it a task is a fresh process."""

    @field_validator("home", "pipelines", "warm_socket")
    @classmethod
    def _absolute(cls, path: Path | None) -> Path | None:
        """Processes with other working directories are told the same place."""
        return path and path.expanduser().absolute()

    @model_validator(mode="after")
    def _complete(self) -> Environment:
        if self.profile == "servers" and not all(
            (self.objects, self.control_url, self.catalog_url, self.warehouse)
        ):
            raise ConfigError(
                "PERENNIAL_PROFILE=servers wants PERENNIAL_OBJECTS, _CONTROL_URL, _CATALOG_URL "
                "and _WAREHOUSE as addresses that all tasks reach"
            )
        if self.launcher == "kubernetes" and self.profile == "embedded":
            raise ConfigError(
                "PERENNIAL_LAUNCHER=kubernetes: came PERENNIAL_PROFILE=embedded, wanted servers: "
                "pods reach neither SQLite nor file://"
            )
        return self

    def variables(self) -> dict[str, str]:
        """Give the settings as environment variables, for the processes that tasks are."""
        return {
            f"PERENNIAL_{name.upper()}": str(value)
            for name, value in self.model_dump().items()
            if value not in (None, "")
        }

    @cached_property
    def objects_root(self) -> str:
        """Root of results, sets, models and capsules, without a slash at the end."""
        return (self.objects or (self.home / "objects").as_uri()).rstrip("/")

    @cached_property
    def control(self) -> str:
        """SQLAlchemy address of the control database."""
        return self.control_url or f"sqlite:///{self.home}/control.db"

    @cached_property
    def catalog(self) -> str:
        """SQLAlchemy address of the Iceberg catalog."""
        return self.catalog_url or f"sqlite:///{self.home}/catalog.db"

    @property
    def catalog_properties(self) -> dict[str, str]:
        """What the catalog is told beside its address and the warehouse."""
        return {"s3.endpoint": self.s3_endpoint} if self.s3_endpoint else {}

    @cached_property
    def warehouse_root(self) -> str:
        """Root of the lake's tables."""
        return (self.warehouse or (self.home / "warehouse").as_uri()).rstrip("/")

    @cached_property
    def landing_root(self) -> str:
        """Root of the landing zone."""
        return (self.landing or (self.home / "landing").as_uri()).rstrip("/")
