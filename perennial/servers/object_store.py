"""A server of S3's interface over a folder."""

from __future__ import annotations

import shutil
from typing import TYPE_CHECKING

import httpx

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from ml_tasks.config import Environment
    from perennial.servers.place import Place

ACCESS_KEY = "perennial"
REGION = "us-east-1"


class ObjectStore:
    """versitygw or MinIO over a folder."""

    user: str | None = None

    def given(self, environment: Environment) -> bool:
        """Tell whether objects lie elsewhere."""
        return bool(environment.s3_endpoint or environment.bucket or environment.objects)

    def missing(self) -> str:
        """Say what to do where no program is there; empty where one is."""
        if shutil.which("versitygw") or shutil.which("minio"):
            return ""
        return (
            "S3: neither versitygw nor minio on the path; brew install minio, or put either "
            "project's release there, or give PERENNIAL_S3_ENDPOINT, AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY, or for AWS PERENNIAL_BUCKET"
        )

    def prepare(self, place: Place) -> None:
        """Make the folder."""
        self._folder(place).mkdir(mode=0o700, parents=True, exist_ok=True)

    def argv(self, place: Place) -> list[str]:
        """Give the command line of the program that is there."""
        if shutil.which("versitygw"):
            return [
                *("versitygw", "--quiet", "--port", place.address),
                *("posix", str(self._folder(place))),
            ]
        return ["minio", "server", "--address", place.address, str(self._folder(place))]

    def environ(self, place: Place) -> Mapping[str, str]:
        """Give the keys, by the names that either program knows."""
        names = (("ROOT_ACCESS_KEY", "ROOT_SECRET_KEY"), ("MINIO_ROOT_USER", "MINIO_ROOT_PASSWORD"))
        keys = (ACCESS_KEY, place.secret("s3"))
        return {
            **{n: key for pair in names for n, key in zip(pair, keys, strict=True)},
            "MINIO_BROWSER": "off",
        }

    def ready(self, place: Place) -> bool:
        """Tell whether it answers: whom it does not know it refuses."""
        try:
            httpx.get(f"http://{place.address}", timeout=3)
        except httpx.HTTPError:
            return False
        return True

    def _folder(self, place: Place) -> Path:
        return place.home / "s3"
