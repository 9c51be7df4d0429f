"""Where no log server runs, that none answers is no news."""

from __future__ import annotations

import os
import subprocess
import sys

from ml_launch.log_folder import ASKING

LOOK = f"""
import logging
from airflow.logging_config import configure_logging
from airflow.utils.log.file_task_handler import logger
configure_logging()
assert logger.name == {ASKING!r}
logger.error("nobody answered")
logging.getLogger("airflow.models").error("something else")
"""


def test_whoever_asks_a_log_server_is_quiet() -> None:
    told = {"AIRFLOW__LOGGING__LOGGING_CONFIG_CLASS": "ml_launch.log_folder.LOGGING_CONFIG"}
    done = subprocess.run(
        [sys.executable, "-c", LOOK],
        env={**os.environ, **told},  # noqa: TID251 - a child's environment
        capture_output=True,
        text=True,
        check=True,
    )
    assert "something else" in done.stderr + done.stdout
    assert "nobody answered" not in done.stderr + done.stdout
