"""Keeps the logs of Airflow's tasks among the objects, for programs that share no disk.

`AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS=ml_launch.log_store.LOGGING_CONFIG` switches it on.
"""

from __future__ import annotations

import logging
import socket
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from airflow.config_templates.airflow_local_settings import DEFAULT_LOGGING_CONFIG

from ml_tasks.config import Environment
from ml_tasks.errors import BackendError, PerennialError
from ml_tasks.io import objects

if TYPE_CHECKING:
    import os
    from collections.abc import Generator

log = logging.getLogger(__name__)
FOLDER = "airflow-logs"


class LogStore:
    """One folder for each attempt, and in it an object of each who wrote of it.

    What a task says before and after a wait comes from a scheduler, and in between from a
    triggerer; after a retry or an upgrade that is another one.
    """

    processors: tuple[Any, ...] = ()

    def upload(self, path: os.PathLike[str] | str, ti: object = None) -> None:  # noqa: ARG002
        """Keep a log as far as it is written; Airflow asks for it at each pause and at the end."""
        from airflow.sdk import conf

        base = Path(conf.get_mandatory_value("logging", "base_log_folder"))
        file = base / path
        relative = PurePosixPath(file.relative_to(base))
        stem, _, trigger = relative.name.partition(".log")
        name = f"{socket.gethostname()}{trigger or '.log'}"
        try:
            objects.write_bytes(f"{_folder(relative.with_name(stem))}/{name}", file.read_bytes())
        except FileNotFoundError:
            return  # nothing was said
        except BackendError as fault:
            log.warning("the log %s is not kept: %s", relative, fault)

    def stream(
        self, relative_path: str, ti: object
    ) -> tuple[list[str], list[Generator[str, None, None]]]:
        """Give where an attempt's logs lie, and the lines of each."""
        sources, texts = self.read(relative_path, ti)
        return sources, [_lines(text) for text in texts]

    def read(self, relative_path: str, ti: object) -> tuple[list[str], list[str]]:  # noqa: ARG002
        """Give where an attempt's logs lie, and the text of each."""
        path = PurePosixPath(relative_path)
        folder = _folder(path.with_name(path.name.partition(".log")[0]))
        try:
            uris = [found.uri for found in objects.find(folder)]
            return uris, [objects.read_text(uri) for uri in uris]
        except (FileNotFoundError, PerennialError) as fault:
            return [f"{folder} cannot be read: {fault}"], []


def _lines(text: str) -> Generator[str, None, None]:
    yield from text.splitlines()


def _folder(relative: PurePosixPath) -> str:
    return f"{Environment().objects_root}/{FOLDER}/{relative}"


LOGGING_CONFIG = DEFAULT_LOGGING_CONFIG
REMOTE_TASK_LOG = LogStore()
"""Airflow looks for both by these names."""
